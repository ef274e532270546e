"""The embedded server: TF Serving's gRPC and REST APIs, for laptops, CI and tests. Production is TF Serving itself."""

from serving.server.lifecycle import run_server, running_server
from serving.server.options import Addresses, ServerOptions

__all__ = ["Addresses", "ServerOptions", "run_server", "running_server"]
