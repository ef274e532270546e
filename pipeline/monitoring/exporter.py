"""Looking again and again, and showing what was found to Prometheus: `/metrics`, and `/healthz` for probes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.monitoring.gauges import Gauges
from pipeline.monitoring.look import Look, NothingLoggedError
from serving.errors import ServableError
from serving.server.telemetry.exposition import CONTENT_TYPE

_LARGEST_PORT = 65535


@contextmanager
def metrics_server(host: str, port: int, gauges: Gauges) -> Iterator[int]:
    """Serves the metrics for as long as the `with` block lasts.

    Args:
        host: address to listen on.
        port: 0 takes any free port.
        gauges: what is shown.

    Yields:
        the port.

    Raises:
        ValueError: if the port cannot be one.
        OSError: if it cannot be had.
    """
    if not 0 <= port <= _LARGEST_PORT:
        raise ValueError(f"port: must be 0 (any free port) to {_LARGEST_PORT}, got {port}.")

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds; a connection that says nothing is closed

        def do_GET(self) -> None:
            if self.path.partition("?")[0] == "/metrics":
                self._answer(200, CONTENT_TYPE, gauges.render())
            elif self.path == "/healthz":
                self._answer(200, "text/plain; charset=utf-8", b"ok\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", b"there are /metrics and /healthz\n")

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Says nothing: a scrape every few seconds would fill the log."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise OSError(f"port: cannot listen on {host}:{port}: {error.strerror or error}.") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def look_repeatedly(
    look_once: Callable[[], Look],
    gauges: Gauges,
    every: float,
    on_look: Callable[[Look], None],
    on_error: Callable[[str], None],
    stop: threading.Event,
) -> None:
    """Looks until told to stop. A look that fails is told and counted, and the next one comes at its time.

    Args:
        look_once: one look.
        gauges: where what is found is shown.
        every: seconds between two looks, above 0.
        on_look: called after each look that found rows.
        on_error: told what went wrong.
        stop: set it to stop.
    """
    while not stop.is_set():
        try:
            found = look_once()
            gauges.looked(found)
            on_look(found)
        except NothingLoggedError as nothing:
            gauges.nothing_logged()
            on_error(str(nothing))
        except (OSError, ValueError, ServableError) as error:
            gauges.failed()
            on_error(str(error))
        stop.wait(every)
