"""A headless Chromium for tests, driven by the DevTools protocol over one websocket."""

import asyncio
import itertools
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # needed where tests run as root; the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_SECONDS = 60.0
_LARGEST_MESSAGE = 64 * 1024 * 1024  # a screenshot comes as one message


def find_chromium() -> str | None:
    """Returns the path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """One tab.

    Attributes:
        events: everything that the browser reported, in order: {"method", "params"}.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._loop = loop
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and returns its result; raises RuntimeError if it fails."""
        return _run(self._loop, self._call(method, params))

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, awaited if it is a promise; raises if it throws."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = _SECONDS) -> Any:
        """Waits until an expression is true in the JavaScript sense; raises TimeoutError if it does not become so."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise TimeoutError(
                    f"never true: {expression}; the page says: {self.evaluate('document.body.innerText')}"
                )
            time.sleep(0.05)
        return value

    def open(self, url: str, **metrics: Any) -> None:
        """Loads a page and waits until it is loaded.

        Args:
            url: its address.
            metrics: what Emulation.setDeviceMetricsOverride takes, e.g. width and height.
        """
        size = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **{**size, **metrics})
        self.call("Page.navigate", url=url)
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def set_files(self, selector: str, paths: list[Path]) -> None:
        """Chooses files in a file input, as a user would in its dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def events_named(self, method: str) -> list[dict[str, Any]]:
        """Returns the parameters of all events of one kind so far."""
        return [event["params"] for event in self.events if event["method"] == method]

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        self._answers[number] = answered = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(answered, _SECONDS)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def read(self) -> None:
        """Sorts what the browser says into answers and events, until it is gone."""
        async for message in self._socket:
            document = json.loads(message.data)
            if (number := document.get("id")) is None:
                self.events.append(document)
            elif not (answered := self._answers.pop(number)).done():  # it is done where waiting for it was given up
                answered.set_result(document)


@contextmanager
def running_page(profile: Path) -> Iterator[Page]:
    """Starts a browser with one empty tab, and ends it with the `with` block.

    Args:
        profile: an empty directory for what the browser writes.

    Yields:
        the tab, whose events of network, log and page are reported.
    """
    command = [find_chromium() or _NAMES[0], *_SWITCHES, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with running_loop() as loop:
            page, close = _run(loop, _connect(loop, _debugging_port(profile / "DevToolsActivePort", process)))
            try:
                for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
                    page.call(f"{domain}.enable")
                yield page
            finally:
                _run(loop, close())
    finally:
        process.terminate()
        process.wait(_SECONDS)


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Runs an event loop in a thread of its own for as long as the `with` block lasts."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(2 * _SECONDS)


def _debugging_port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + _SECONDS
    while not (file.is_file() and "\n" in (text := file.read_text())):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"Chromium did not open its debugging port (exit code {process.poll()}).")
        time.sleep(0.05)
    return int(text.split("\n")[0])


async def _connect(loop: asyncio.AbstractEventLoop, port: int) -> tuple[Page, Callable[[], Coroutine[Any, Any, None]]]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
        tab = next(target for target in await response.json() if target["type"] == "page")
    socket = await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=_LARGEST_MESSAGE)
    page = Page(loop, socket)
    reading = loop.create_task(page.read())

    async def close() -> None:
        await socket.close()
        await session.close()
        await reading

    return page, close
