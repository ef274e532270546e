"""Wire protocols: gRPC and REST, TLS, health checks and the page; the rooms below know neither."""
