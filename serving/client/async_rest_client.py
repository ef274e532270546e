"""A client of TF Serving's REST API for asyncio. Needs aiohttp, but neither TensorFlow nor grpc."""

import ssl
from collections.abc import Sequence

import aiohttp

from serving.client import rest_messages
from serving.client.answers import Answer
from serving.client.async_wire_client import AsyncWireClient, off_loop
from serving.client.options import ClientOptions
from serving.client.retries import Deadline
from serving.client.versions import VersionState


class AsyncRestClient(AsyncWireClient):
    """Asks a server by REST, over a connection for each request in flight, kept open.

    Args:
        url: base URL of the server, e.g. "http://127.0.0.1:8501"; a path in it is put before /v1/models.
        options: how it is asked.

    Raises:
        ValueError: if the URL is not one of http or https, or is http though the options ask for TLS.
    """

    def __init__(self, url: str, options: ClientOptions | None = None) -> None:
        options = options or ClientOptions()
        self._address = rest_messages.parse_address(url, options)
        super().__init__(url, options)
        self._context: ssl.SSLContext | bool = options.ssl_context() if self._address.scheme == "https" else True
        self._url = f"{self._address.base}{self._address.model_path(options)}"
        self._opened: aiohttp.ClientSession | None = None

    async def _predict_once(self, images: Sequence[bytes], signature: str, deadline: Deadline) -> list[Answer]:
        body = await off_loop(sum(map(len, images)), rest_messages.predict_body, images, signature)
        status, answer = await self._exchange("POST", f"{self._url}:predict", body, deadline)
        return await off_loop(len(answer), rest_messages.answers, status, answer, len(images), self._address.url)

    async def _versions_once(self, deadline: Deadline) -> list[VersionState]:
        if self.options.label is not None:  # the status is of all versions, whatever the label
            status, answer = await self._exchange("GET", f"{self._url}/metadata", None, deadline)
            return rest_messages.described_version(status, answer, self._address.url)
        status, answer = await self._exchange("GET", self._url, None, deadline)
        return rest_messages.versions(status, answer, self._address.url)

    async def _close_connections(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def _exchange(self, method: str, url: str, body: bytes | None, deadline: Deadline) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=deadline.require(self._address.url))
        headers = rest_messages.JSON_HEADERS if body is not None else None
        try:
            async with self._session().request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await response.read()
        except TimeoutError as error:
            raise deadline.exceeded(self._address.url) from error
        except aiohttp.ClientSSLError as error:
            raise rest_messages.untrusted(self._address, error) from error
        except aiohttp.ClientConnectorError as error:
            raise rest_messages.unreachable(self._address, error) from error
        except (aiohttp.ClientError, OSError) as error:
            raise rest_messages.broken(self._address, error) from error

    def _session(self) -> aiohttp.ClientSession:
        # Opened at the first request: a session belongs to the event loop that runs then.
        if self._opened is None:
            # The bound on requests in flight is the client's; the session's own would be another queue.
            self._opened = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=self._context))
        return self._opened
