"""The embedded server: TF Serving's gRPC and REST APIs, for laptops, CI and tests. Production is TF Serving itself."""
