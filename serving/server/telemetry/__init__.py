"""Metrics, access log and request log of the embedded server."""
