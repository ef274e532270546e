"""gRPC and REST of the embedded server, and its page."""
