"""Why the server refuses or fails: one exception class a failure, each with its gRPC and HTTP status.

The pairs of codes are those that TF Serving answers, so that a client sees the same from either server. Codes are plain
names ("INVALID_ARGUMENT"), because this module must load without grpc.
"""

from urllib.parse import quote

# A message travels percent-encoded in gRPC's trailing headers, which may be refused from 8 kB on; it may repeat names
# of any length, and in any script, that the client sent.
_LONGEST_ENCODED = 6000
_SENT_AS_IT_IS = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class ServingError(Exception):
    """Base of everything that a request can fail with.

    Attributes:
        grpc_code: name of the gRPC status code, e.g. "INVALID_ARGUMENT".
        http_status: the HTTP status that the REST API answers for it.
    """

    grpc_code = "INTERNAL"
    http_status = 500

    @property
    def wire_message(self) -> str:
        """The message as it is sent: whole, or cut where it would not fit gRPC's headers."""
        message = str(self)
        if _encoded_length(message) <= _LONGEST_ENCODED:
            return message
        message = message[:_LONGEST_ENCODED]
        while _encoded_length(message) > _LONGEST_ENCODED:
            message = message[: len(message) * 3 // 4]
        return f"{message}..."


class InvalidArgumentError(ServingError):
    """The request itself is wrong; sending it again cannot help."""

    grpc_code = "INVALID_ARGUMENT"
    http_status = 400


class BadRowError(InvalidArgumentError):
    """One row of the batch cannot be processed; its message starts with the row, e.g. `image_bytes[3]: is empty`.

    Args:
        input_name: name of the input that the row belongs to.
        row: position in the batch, from 0.
        reason: what is wrong with it, and where it helps what to send instead.
    """

    def __init__(self, input_name: str, row: int, reason: str) -> None:
        super().__init__(f"{input_name}[{row}]: {reason}")
        self.input_name = input_name
        self.row = row
        self.reason = reason


class BatchTooLargeError(InvalidArgumentError):
    """More rows in one request than the server takes."""


class SignatureNotFoundError(ServingError):
    """The servable has no signature of that name."""

    grpc_code = "FAILED_PRECONDITION"
    http_status = 400


class ModelNotFoundError(ServingError):
    """No model of that name, or no such version of it, is served here."""

    grpc_code = "NOT_FOUND"
    http_status = 404


class LabelNotAvailableError(ServingError):
    """A label was to be given to a version that does not answer requests."""

    grpc_code = "FAILED_PRECONDITION"
    http_status = 400


class ModelsNotAvailableError(ServingError):
    """Of the models that a server was told to serve, some have no version that can be loaded."""

    grpc_code = "UNKNOWN"


class PathNotFoundError(ServingError):
    """The URL is none of the REST API's."""

    grpc_code = "NOT_FOUND"
    http_status = 404


class RequestTooLargeError(ServingError):
    """More bytes in one request than the server takes (gRPC answers RESOURCE_EXHAUSTED for it by itself)."""

    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 413


class ResourceExhaustedError(ServingError):
    """Memory ran out while the request was computed."""

    grpc_code = "RESOURCE_EXHAUSTED"
    http_status = 429


class QueueFullError(ResourceExhaustedError):
    """More requests wait than the server has room for; asking again in a moment can help."""


class UnavailableError(ServingError):
    """The server is on its way down, or the version is; asking again, of another server perhaps, can help."""

    grpc_code = "UNAVAILABLE"
    http_status = 503


class DeadlineExceededError(ServingError):
    """The answer did not come in the time that the client gave."""

    grpc_code = "DEADLINE_EXCEEDED"
    http_status = 504


class UnimplementedError(ServingError):
    """The protocol has this, but this server or this servable does not do it."""

    grpc_code = "UNIMPLEMENTED"
    http_status = 501


class InternalError(ServingError):
    """The server or the servable failed for a reason that is not the request's; the log has the details."""


class ServableError(Exception):
    """A directory holds no servable, or one that does not keep the contract. Raised before anything is served."""


class ServerStartError(Exception):
    """The server cannot start: a port is taken, or an address is not of this machine."""


def _encoded_length(message: str) -> int:
    return len(quote(message, safe=_SENT_AS_IT_IS, errors="replace"))
