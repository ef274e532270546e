"""The page of the embedded server: drop images on it, see verdicts, probabilities and heatmaps.

Four fixed files and one document that describes the served version. The page asks the same REST API as every other
client. It loads nothing from elsewhere, and its headers forbid it to, so that it works, and stays harmless, on a
machine without network and with files whose names or contents are hostile.
"""

import asyncio
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from aiohttp import web

from serving import contract
from serving.errors import InternalError, ServingError

PAGE_PATH = "/ui/"

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The files change with the release, the description with the version: neither may be an old one.
    "Cache-Control": "no-store",
}
_FILES = {
    "": ("index.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
}


def add_page(app: web.Application, describe: Callable[[], dict[str, Any]]) -> None:
    """Adds the page under `/ui/`, and a redirect to it from `/`.

    Must come before any route that catches all paths: aiohttp takes the first that fits.

    Args:
        app: the application of the REST API.
        describe: returns what `describe_version` returns, of the version that is served at that moment. It is called
            for every image that the page asks for, in a worker thread, so that the page follows a change of version.
            A `ServingError` that it raises is answered with its status and message.
    """
    folder = resources.files("serving.server.protocols") / "page"
    app.router.add_get("/", _redirect)
    app.router.add_get(PAGE_PATH.rstrip("/"), _redirect)
    for path, (name, content_type) in _FILES.items():
        app.router.add_get(f"{PAGE_PATH}{path}", _file_handler((folder / name).read_bytes(), content_type))
    app.router.add_get(f"{PAGE_PATH}model.json", _description_handler(describe))


def describe_version(name: str, number: int, path: Path) -> dict[str, Any]:
    """Describes a served version, as the page needs it.

    Args:
        name: the name that requests ask for.
        number: the version's number.
        path: the version's directory; its operating points are read.

    Returns:
        {"name", "version", "operating_points", "limits": {"image_bytes", "image_pixels"}}. "operating_points" is what
        the asset holds: {"detection": t, "sources": {name: t}, "level", "input": {"size", "representation", ...}};
        None where the servable has no such file: the page then shows no thresholds, and lays heatmaps over the whole
        image.

    Raises:
        InternalError: if the file is there and cannot be read.
    """
    file = path / contract.ASSET_OPERATING_POINTS
    try:
        points = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        points = None
    except (OSError, ValueError) as error:
        raise InternalError(f"{file}: cannot be read: {error}. Export the servable again.") from error
    return {
        "name": name,
        "version": number,
        "operating_points": points,
        "limits": {"image_bytes": contract.MAX_IMAGE_BYTES, "image_pixels": contract.MAX_IMAGE_PIXELS},
    }


async def _redirect(_request: web.Request) -> web.Response:
    # Relative, so that it stays right behind a proxy that serves this server under a path of its own.
    return web.Response(status=302, headers={**_HEADERS, "Location": PAGE_PATH.lstrip("/")})


def _file_handler(content: bytes, content_type: str) -> Callable[[web.Request], Any]:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=_HEADERS)

    return handle


def _description_handler(describe: Callable[[], dict[str, Any]]) -> Callable[[web.Request], Any]:
    async def handle(_request: web.Request) -> web.Response:
        try:
            description = await asyncio.to_thread(describe)
        except ServingError as error:
            return web.json_response({"error": error.wire_message}, status=error.http_status, headers=_HEADERS)
        return web.json_response(description, headers=_HEADERS)

    return handle
