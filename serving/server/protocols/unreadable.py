"""gRPC messages that are no protobufs of their kind: the client's fault, and answered so.

gRPC's Python server answers them with INTERNAL, which says that the server is at fault, and pages whoever runs it.
"""

from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError


class _Unreadable:
    """Stands for a message that could not be read."""


_UNREADABLE = _Unreadable()


class RefuseUnreadable(grpc.ServerInterceptor):
    """Answers unreadable messages of methods with one request and one response with INVALID_ARGUMENT."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Wraps the method's reader, and the method."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None or handler.request_deserializer is None:
            return handler
        read, answer = handler.request_deserializer, handler.unary_unary

        def tolerant_read(message: bytes) -> Any:
            try:
                return read(message)
            except DecodeError:
                return _UNREADABLE

        def checked_answer(request: Any, context: grpc.ServicerContext) -> Any:
            if request is _UNREADABLE:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is no protobuf of the method's type.")
            return answer(request, context)

        return grpc.unary_unary_rpc_method_handler(
            checked_answer, request_deserializer=tolerant_read, response_serializer=handler.response_serializer
        )
