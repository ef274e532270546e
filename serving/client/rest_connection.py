"""One HTTP connection that is kept open, and that keeps a deadline whatever the server does.

The timeouts of http.client hold for a single wait each, so that a server which sends a byte now and then could keep a
client for ever. Here every wait gets what is left of the whole call.
"""

import http.client
import io
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from serving.client import rest_messages
from serving.client.cancellation import Cancellation
from serving.client.rest_messages import RestAddress
from serving.client.retries import Deadline


class RestConnection:
    """Sends one request at a time. Not to be shared between threads, except for `abort`.

    Args:
        address: the server.
        context: for https; None for http.
    """

    def __init__(self, address: RestAddress, context: ssl.SSLContext | None) -> None:
        self._address = address
        self._http = _TimedConnection(address, context)

    def exchange(
        self, method: str, path: str, body: bytes | None, deadline: Deadline, call: Cancellation
    ) -> tuple[int, bytes]:
        """Sends a request and reads the answer.

        Args:
            method: GET or POST.
            path: with its leading slash.
            body: JSON, or None.
            deadline: until when all must be done.
            call: what the request belongs to; cancelling it ends the exchange.

        Returns:
            the HTTP status and the body.

        Raises:
            ServerError: if the deadline passed, the connection broke, or TLS failed.
            ServerUnreachableError: if there is no connection to be had.
            CallCancelledError: if the call was cancelled.
        """
        # A server may have closed a connection that was idle; that is found out only by using it.
        if self._http.sock is not None:
            with suppress(_StaleConnectionError):
                return self._exchange(method, path, body, deadline, call, kept_open=True)
        return self._exchange(method, path, body, deadline, call, kept_open=False)

    @property
    def is_usable(self) -> bool:
        """Whether it may be kept for another exchange."""
        return not self._http.aborted

    def abort(self) -> None:
        """Ends an exchange that another thread waits in; the connection is of no use afterwards."""
        self._http.aborted = True
        with suppress(OSError):  # it may be closed already
            if (open_socket := self._http.open_socket) is not None:
                open_socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection; the next exchange would open another."""
        self._http.close()

    def _exchange(
        self, method: str, path: str, body: bytes | None, deadline: Deadline, call: Cancellation, kept_open: bool
    ) -> tuple[int, bytes]:
        self._http.remaining = lambda: deadline.require(self._address.url)
        connected = kept_open
        try:
            with call.stopping(self.abort):
                if not connected:
                    self._http.connect()
                    connected = True
                # Who refuses a request for its size may answer, and close, before all of it was sent.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self._http.request(method, path, body, rest_messages.JSON_HEADERS if body is not None else {})
                response = self._http.getresponse()
                return response.status, response.read()
        except BaseException as error:
            self._http.close()  # what is left of the exchange must not be read as the next answer
            call.check()
            if isinstance(error, TimeoutError):
                raise deadline.exceeded(self._address.url) from error
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                raise rest_messages.untrusted(self._address, error) from error
            if isinstance(error, OSError | http.client.HTTPException):
                if not connected:
                    raise rest_messages.unreachable(self._address, error) from error
                if kept_open and isinstance(error, ConnectionError):
                    raise _StaleConnectionError from error
                raise rest_messages.broken(self._address, error) from error
            raise


class _StaleConnectionError(Exception):
    """A connection that was kept open is none any more."""


class _TimedConnection(http.client.HTTPConnection):
    """http.client's connection over a socket whose every wait ends with the deadline.

    Attributes:
        remaining: returns the seconds that are left, or raises if there are none.
        open_socket: the socket itself, also while http.client has given it up and only the answer is still read.
        aborted: whether an exchange was ended from another thread.
    """

    remaining: Callable[[], float]
    open_socket: socket.socket | None = None
    aborted = False

    def __init__(self, address: RestAddress, context: ssl.SSLContext | None) -> None:
        super().__init__(address.host, address.port)
        self._context = context

    def connect(self) -> None:
        """Tries the host's addresses one after the other; looking them up has the resolver's own time limit."""
        failure = OSError(f"{self.host} has no address")
        for family, kind, protocol, _, where in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            try:
                self._connect(socket.socket(family, kind, protocol), where)
            except (TimeoutError, ssl.SSLError):
                raise
            except OSError as error:
                failure = error
            else:
                return
        raise failure

    def _connect(self, plain: socket.socket, where: Any) -> None:
        self.open_socket = plain
        try:
            if self.aborted:  # before there was a socket to shut down
                raise ConnectionAbortedError("aborted")
            plain.settimeout(self.remaining())
            plain.connect(where)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                plain.settimeout(self.remaining())
                self.open_socket = self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self.sock: Any = _TimedSocket(self.open_socket, self)


class _TimedSocket:
    """What http.client needs of a socket. Each wait takes at most what is left of the connection's deadline."""

    def __init__(self, wrapped: socket.socket, connection: _TimedConnection) -> None:
        self._wrapped = wrapped
        self._connection = connection

    def sendall(self, data: Any) -> None:
        self._wrapped.settimeout(self._connection.remaining())
        self._wrapped.sendall(data)  # the time limit is for all of it

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._wrapped, self._connection), 65536)

    def close(self) -> None:
        self._wrapped.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, wrapped: socket.socket, connection: _TimedConnection) -> None:
        self._wrapped = wrapped
        self._stream = wrapped.makefile("rb", buffering=0)  # keeps the socket open until the answer is read
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wrapped.settimeout(self._connection.remaining())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()
