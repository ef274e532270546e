"""grpc.health.v1 and reflection: what orchestrators ask before they send traffic, and what grpcurl asks first."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

_PREDICTION_SERVICE = "tensorflow.serving.PredictionService"

# The empty name stands for the server as a whole.
_SERVICES = ("", _PREDICTION_SERVICE, "tensorflow.serving.ModelService")


class Health:
    """What grpc.health.v1 answers; NOT_SERVING until told otherwise.

    Attributes:
        servicer: the service.
    """

    def __init__(self) -> None:
        self.servicer = health.HealthServicer()
        self.set_serving(False)

    def add_to(self, server: grpc.Server) -> None:
        """Adds the service to a server that has not started."""
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, server)

    def set_serving(self, serving: bool) -> None:
        """Sets the state of all services."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in _SERVICES:
            self.servicer.set(service, status)

    def drain(self) -> None:
        """Says NOT_SERVING from here on, whatever is set later: the server is on its way down."""
        self.servicer.enter_graceful_shutdown()


def create_health() -> Health:
    """Returns health that says NOT_SERVING."""
    return Health()


def enable_reflection(server: grpc.Server) -> None:
    """Lets clients ask a server which services it has, and of what their messages consist.

    ModelService is not among them: the generated module that describes it cannot be imported with today's protobuf.
    """
    services = (_PREDICTION_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(services, server)
