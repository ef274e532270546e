"""TF Serving's REST API over aiohttp: prediction, model status and metadata.

POST /v1/models/<name>[/versions/<v>|/labels/<l>]:predict     and :classify, :regress, which our signatures refuse
GET  /v1/models/<name>[/versions/<v>|/labels/<l>][/metadata]

Whatever goes wrong is answered as {"error": "<message>"} with the status that TF Serving gives it. The Content-Type of
a request is not looked at; its body may be compressed (Content-Encoding: gzip), and is limited after inflating.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn
from urllib.parse import unquote

from aiohttp import web
from google.protobuf import json_format

from serving import contract
from serving.errors import (
    InternalError,
    InvalidArgumentError,
    PathNotFoundError,
    QueueFullError,
    RequestTooLargeError,
    ServingError,
)
from serving.server.configuration.options import ServerOptions
from serving.server.models.engine import Engine
from serving.server.models.requests import ModelRequest
from serving.server.protocols import example_methods, json_tensors
from serving.server.protocols.json_tensors import Layout
from serving.server.protocols.request_record import RequestRecord
from serving.server.telemetry.metrics import ServerMetrics

_LOGGER = logging.getLogger(__name__)

# Matched against the path as it was sent, with its query, and unquoted afterwards: so does TF Serving. ASCII, because
# ignoring case would otherwise let other letters and digits in.
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICTION = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_STATUS = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?", re.IGNORECASE | re.ASCII)
_API = re.compile(r"/v1/.*", re.IGNORECASE | re.ASCII | re.DOTALL)

# A path's method -> the API's name for it.
_PREDICT = "Predict"
_APIS = {"predict": _PREDICT, "classify": "Classify", "regress": "Regress"}
_EXAMPLE_METHODS = {"Classify": example_methods.CLASSIFY, "Regress": example_methods.REGRESS}

# Up to this size, parsing is quicker than the way to a worker thread and back.
_PARSED_INLINE_BYTES = 64 * 1024

_LARGEST_VERSION = 2**63 - 1


def create_app(
    engine: Engine, options: ServerOptions, routes: Sequence[Callable[[web.Application], None]] = ()
) -> web.Application:
    """Builds the aiohttp application.

    Args:
        engine: what answers.
        options: the largest body that is read, after inflating (more is answered with 413), and where metrics are.
        routes: each adds the routes of something else to the application; they come before the API's, which takes
            every path.
    """
    app = web.Application(client_max_size=options.max_request_bytes)
    for add in routes:
        add(app)
    if options.monitoring.enabled:
        app.router.add_get(options.monitoring.path, _metrics_handler(engine.metrics))
    api = _Api(engine, options.max_request_bytes, options.max_concurrent_requests)
    app.router.add_route("*", "/{path:.*}", api.handle)
    return app


def _metrics_handler(metrics: ServerMetrics) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    return handle


class _Api:
    def __init__(self, engine: Engine, max_request_bytes: int, max_posts: int) -> None:
        self._engine = engine
        self._posts, self._max_posts = 0, max_posts
        self._metrics = engine.metrics
        self._max_request_bytes = max_request_bytes

    async def handle(self, request: web.Request) -> web.Response:
        """Answers any request; never raises except when the client went away."""
        path = request.rel_url.raw_path_qs
        prediction = _PREDICTION.fullmatch(path) if request.method == "POST" else None
        # TF Serving takes the rest of the path in any case, but not the method.
        api = _APIS.get(prediction["method"], "") if prediction else ""
        record = RequestRecord(self._metrics, "REST", api, request.remote or "-", f"{request.method} {request.path}")
        with self._metrics.in_flight:
            try:
                if prediction and api:
                    body = await self._post(request, prediction, api, record)
                else:
                    body = self._get(request, path, record)
            except ServingError as error:
                return _error_response(error, record)
            except Exception:
                _LOGGER.exception("request failed: %s %r", request.method, request.path)
                return _error_response(InternalError("internal error; the server's log has the details"), record)
        record.finish("200")
        return web.Response(body=body, content_type="application/json")

    async def _post(self, request: web.Request, match: re.Match[str], api: str, record: RequestRecord) -> bytes:
        record.model = model = _model_request(match)
        if self._posts >= self._max_posts:  # before the body is read: each may hold many megabytes
            raise QueueFullError(
                f"the queue of requests by REST is full: {self._max_posts} are in flight. Ask again in a moment."
            )
        self._posts += 1
        try:
            return await self._answer(request, model, api, record)
        finally:
            self._posts -= 1

    async def _answer(self, request: web.Request, model: ModelRequest, api: str, record: RequestRecord) -> bytes:
        body = await self._read(request)
        record.request_bytes = len(body)
        if api == _PREDICT:
            return await self._predict(model, body, record)
        return await self._refuse_examples(_EXAMPLE_METHODS[api], model, body)

    def _get(self, request: web.Request, path: str, record: RequestRecord) -> bytes:
        if not _API.fullmatch(path):
            raise PathNotFoundError(
                f"{request.path}: not found. The API is under /v1/models/, e.g. "
                f"/v1/models/{contract.DEFAULT_MODEL_NAME}:predict."
            )
        match = _STATUS.fullmatch(path) if request.method == "GET" else None
        if match is None:
            raise InvalidArgumentError(f"Malformed request: {request.method} {path}")
        if match["name"] is None:
            raise InvalidArgumentError("Missing model name in request.")
        record.model = _model_request(match)
        return self._metadata(record.model) if match["metadata"] else self._status(record.model)

    async def _read(self, request: web.Request) -> bytes:
        try:
            return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise RequestTooLargeError(
                f"request: must be at most {self._max_request_bytes:,} bytes. Send fewer rows in one request."
            ) from error
        except web.RequestPayloadError as error:
            raise InvalidArgumentError(
                f"JSON Parse error: the body is not what its headers say, e.g. its Content-Encoding: {error}"
            ) from error

    async def _predict(self, model: ModelRequest, body: bytes, record: RequestRecord) -> bytes:
        inline = len(body) <= _PARSED_INLINE_BYTES
        parse = json_tensors.parse_document
        document = parse(body) if inline else await self._engine.offload(parse, body)
        signature = json_tensors.signature_name(document) or contract.SIGNATURE_DEFAULT
        model = record.model = ModelRequest(model.name, model.version, model.label, signature)
        signatures = self._engine.describe(model).signatures
        if signature not in signatures:
            raise InvalidArgumentError(
                f'Serving signature name: "{signature}" not found in signature def. '
                f"Signatures here: {', '.join(sorted(signatures))}."
            )
        read, specs, check = json_tensors.read_inputs, signatures[signature].inputs, self._engine.check_rows
        layout, inputs = (
            read(document, specs, check) if inline else await self._engine.offload(read, document, specs, check)
        )
        record.rows = max((array.shape[0] for array in inputs.values() if array.ndim), default=0)
        # A client that goes away cancels this task, which takes the request out of its queue.
        answered = await asyncio.wrap_future(self._engine.submit(model, inputs))
        record.version = answered.version
        return await self._write(layout, answered.outputs)

    async def _write(self, layout: Layout, outputs: dict[str, Any]) -> bytes:
        write = json_tensors.write_outputs
        if sum(array.nbytes for array in outputs.values()) <= _PARSED_INLINE_BYTES:
            return write(layout, outputs)
        return await self._engine.offload(write, layout, outputs)

    async def _refuse_examples(self, method: example_methods.Method, model: ModelRequest, body: bytes) -> NoReturn:
        document = await self._engine.offload(json_tensors.parse_document, body)
        signature = json_tensors.signature_name(document)
        example_methods.check_examples(document)
        definitions = self._engine.describe(model).signature_defs
        example_methods.refuse_signature(method, signature, definitions)

    def _status(self, model: ModelRequest) -> bytes:
        # A label is not looked at, as in TF Serving: the answer is then about all versions.
        statuses = self._engine.status(ModelRequest(model.name, model.version))
        return _written(
            {
                "model_version_status": [
                    {
                        "version": str(status.version),  # 64-bit integers are strings in protobuf's JSON
                        "state": status.state,
                        "status": {"error_code": status.error_code, "error_message": status.error_message},
                    }
                    for status in statuses
                ]
            }
        )

    def _metadata(self, model: ModelRequest) -> bytes:
        description = self._engine.describe(model)
        definitions = {
            name: json_format.MessageToDict(
                definition, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            for name, definition in description.signature_defs.items()
        }
        return _written(
            {
                "model_spec": {"name": model.name, "signature_name": "", "version": str(description.version)},
                "metadata": {"signature_def": {"signature_def": definitions}},
            }
        )


def _model_request(match: re.Match[str]) -> ModelRequest:
    version = match["version"]
    if version is not None and int(version.lstrip("0")[:20] or "0") > _LARGEST_VERSION:
        raise InvalidArgumentError(f"Failed to convert version: {version} to numeric.")
    number = None if version is None else int(version.lstrip("0") or "0")
    return ModelRequest(unquote(match["name"]), number, unquote(match["label"] or ""))


def _written(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode("utf-8")  # one blank, as protobuf's JSON is indented


def _error_response(error: ServingError, record: RequestRecord) -> web.Response:
    record.finish(str(error.http_status), error)
    return web.json_response({"error": error.wire_message}, status=error.http_status)
