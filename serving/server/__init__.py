"""Embedded server: TF Serving's gRPC and REST APIs for laptops, CI and tests. Production is TF Serving itself.

Starting, stopping and the command line are here; below them, each room imports only those after it: `protocols`,
`models`, then `telemetry` and `configuration`, which import neither each other nor anything above.
"""
