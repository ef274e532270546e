"""TF Serving's REST API over aiohttp: predict, model status and metadata.

POST /v1/models/<name>[/versions/<v>|/labels/<l>]:predict
GET  /v1/models/<name>[/versions/<v>|/labels/<l>][/metadata]

Whatever goes wrong is answered as {"error": "<message>"} with the status that TF Serving gives it.
"""

import json
import logging
import re
from typing import Any

from aiohttp import web
from google.protobuf import json_format

from serving import contract
from serving.errors import (
    InternalError,
    InvalidArgumentError,
    PathNotFoundError,
    RequestTooLargeError,
    ServingError,
)
from serving.server import json_tensors
from serving.server.access_log import AccessLog
from serving.server.engine import Engine
from serving.server.json_tensors import Layout
from serving.server.requests import ModelRequest

_LOGGER = logging.getLogger(__name__)

_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_STATUS = re.compile(rf"/v1/models/(?P<name>[^/:]+){_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE)

# Up to this size, parsing is quicker than the way to a worker thread and back.
_PARSED_INLINE_BYTES = 64 * 1024

_LARGEST_VERSION = 2**63 - 1


def create_app(engine: Engine, max_request_bytes: int) -> web.Application:
    """Builds the aiohttp application.

    Args:
        engine: what answers.
        max_request_bytes: largest body that is read; more is answered with 413.
    """
    app = web.Application(client_max_size=max_request_bytes)
    api = _Api(engine, max_request_bytes)
    app.router.add_route("*", "/{path:.*}", api.handle)
    return app


class _Api:
    def __init__(self, engine: Engine, max_request_bytes: int) -> None:
        self._engine = engine
        self._max_request_bytes = max_request_bytes

    async def handle(self, request: web.Request) -> web.Response:
        """Answers any request; never raises except when the client went away."""
        log = AccessLog("rest", request.remote or "-", f"{request.method} {request.path}")
        try:
            body = await self._answer(request)
        except ServingError as error:
            return _error_response(error, log)
        except Exception:
            _LOGGER.exception("request failed: %s %r", request.method, request.path)
            return _error_response(InternalError("internal error; the server's log has the details"), log)
        log.finish("200")
        return web.Response(body=body, content_type="application/json")

    async def _answer(self, request: web.Request) -> bytes:
        if not request.path.lower().startswith("/v1/"):
            raise PathNotFoundError(
                f"{request.path}: not found. The API is under /v1/models/, e.g. "
                f"/v1/models/{contract.DEFAULT_MODEL_NAME}:predict."
            )
        if request.method == "POST" and (match := _PREDICTION.fullmatch(request.path)):
            if match["method"].lower() != "predict":
                raise InvalidArgumentError(
                    f"no signature is for {match['method']}: all are for predict. POST to .../{match['name']}:predict."
                )
            return await self._predict(_model_request(match), await self._read(request))
        if request.method == "GET" and (match := _STATUS.fullmatch(request.path)):
            model = _model_request(match)
            return json.dumps(self._metadata(model) if match["metadata"] else self._status(model)).encode("utf-8")
        raise InvalidArgumentError(f"Malformed request: {request.method} {request.path}")

    async def _read(self, request: web.Request) -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise RequestTooLargeError(
                f"request: must be at most {self._max_request_bytes:,} bytes. Send fewer rows in one request."
            ) from error

    async def _predict(self, model: ModelRequest, body: bytes) -> bytes:
        inline = len(body) <= _PARSED_INLINE_BYTES
        parse = json_tensors.parse_document
        document = parse(body) if inline else await self._engine.offload(parse, body)
        model = ModelRequest(model.name, model.version, model.label, json_tensors.signature_name(document))
        specs = self._engine.servable(model).signature(model.signature).inputs
        read = json_tensors.read_inputs
        layout, inputs = read(document, specs) if inline else await self._engine.offload(read, document, specs)
        outputs = await self._engine.predict(model, inputs)
        return await self._write(layout, outputs)

    async def _write(self, layout: Layout, outputs: dict[str, Any]) -> bytes:
        write = json_tensors.write_outputs
        if sum(array.nbytes for array in outputs.values()) <= _PARSED_INLINE_BYTES:
            return write(layout, outputs)
        return await self._engine.offload(write, layout, outputs)

    def _status(self, model: ModelRequest) -> dict[str, Any]:
        return {
            "model_version_status": [
                {
                    "version": str(status.version),  # 64-bit integers are strings in protobuf's JSON
                    "state": status.state,
                    "status": {"error_code": "OK", "error_message": ""},
                }
                for status in self._engine.status(model)
            ]
        }

    def _metadata(self, model: ModelRequest) -> dict[str, Any]:
        servable = self._engine.servable(model)
        definitions = {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for name, definition in servable.signature_defs.items()
        }
        return {
            "model_spec": {"name": model.name, "signature_name": "", "version": str(servable.version.number)},
            "metadata": {"signature_def": {"signature_def": definitions}},
        }


def _model_request(match: re.Match[str]) -> ModelRequest:
    version = match["version"]
    if version is not None and int(version[:20]) > _LARGEST_VERSION:
        raise InvalidArgumentError(f"Failed to convert version: {version} to numeric.")
    return ModelRequest(match["name"], None if version is None else int(version), match["label"] or "")


def _error_response(error: ServingError, log: AccessLog) -> web.Response:
    log.finish(str(error.http_status), error.wire_message)
    return web.json_response({"error": error.wire_message}, status=error.http_status)
