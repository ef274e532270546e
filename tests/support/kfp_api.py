"""An API server of Kubeflow Pipelines for tests: the REST interface v2beta1, on the loopback device, in this process.

It keeps what it is given, checks each body against the models of kfp_server_api (unknown fields included), filters and
pages lists as the real one does, answers errors as google.rpc.Status, and can be told to fail. Time passes for its
schedules only when `tick` is called.
"""

import email
import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

import yaml

from tests.support.kfp_schema import (
    FILTERED,
    IDENTIFIERS,
    Item,
    RefusedError,
    checked,
    matcher,
    page,
    place,
    require_spec,
)

ACTIVE = ("PENDING", "RUNNING", "CANCELING", "PAUSED")
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}


@dataclass
class Fault:
    """What goes wrong: with the first request whose "METHOD path" the pattern matches.

    `how` is an HTTP status, or "hang up" (before it is done), "lose the answer" (after it is done), "login page".
    """

    pattern: str
    how: int | str
    times: int = 1


@dataclass
class Request:
    """What was asked; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class KfpApi:
    """The server's state, and its settings."""

    address: str = ""
    token: str | None = None
    multi_user: bool = False
    health: bool = True
    old: bool = False  # a release before pipelines had names beside those that are shown
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    before: Callable[[Request], None] = lambda request: None
    on_get_run: Callable[[Item], None] = lambda run: None
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    experiments: dict[str, Item] = field(default_factory=dict)
    pipelines: dict[str, Item] = field(default_factory=dict)
    pipeline_versions: dict[str, Item] = field(default_factory=dict)
    runs: dict[str, Item] = field(default_factory=dict)
    recurring_runs: dict[str, Item] = field(default_factory=dict)
    orphaned: list[str] = field(default_factory=list)
    most_enabled: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    # What tests look at.

    def asked(self, method: str, pattern: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and re.search(pattern, request.path)]

    def enabled(self, name: str) -> list[Item]:
        found = self.recurring_runs.values()
        return [run for run in found if run["display_name"] == name and run["status"] == "ENABLED"]

    def add_recurring_run(self, name: str, experiment_id: str, **values: Any) -> Item:
        """Puts one there as if somebody else had made it."""
        trigger = {"cron_schedule": {"cron": "0 0 2 * * *"}}
        return self._keep(
            "recurring_runs",
            {"display_name": name, "experiment_id": experiment_id, "status": "ENABLED", "trigger": trigger, **values},
        )

    def tick(self) -> list[Item]:
        """Lets the time of every enabled recurring run come. One with as many runs in progress as it may have waits."""
        with self.lock:
            started = []
            for schedule in list(self.recurring_runs.values()):
                own = [run for run in self.runs.values() if run.get("recurring_run_id") == schedule["recurring_run_id"]]
                active = sum(run["state"] in ACTIVE for run in own)
                if schedule["status"] == "ENABLED" and active < int(schedule["max_concurrency"]):
                    taken = ("experiment_id", "recurring_run_id", "pipeline_version_reference", "runtime_config")
                    run = {key: schedule[key] for key in taken}
                    name = f"{schedule['display_name']}-{len(own) + 1}"
                    started.append(self._keep("runs", {"display_name": name, "state": "RUNNING", **run}))
            return started

    # What is done for each request.

    def answer(self, request: Request, query: dict[str, str]) -> Item:
        with self.lock:
            path = request.path.removeprefix("/apis/v2beta1/")
            for pattern, method in ROUTES:
                verb, _, route = pattern.partition(" ")
                if verb == request.method and (found := re.fullmatch(route, path)):
                    return getattr(self, method)(request, query, *(unquote(group) for group in found.groups()))
            raise RefusedError(404, "Not Found")

    def healthz(self, request: Request, query: dict[str, str]) -> Item:
        if not self.health:
            raise RefusedError(404, "Not Found")
        return {"multi_user": self.multi_user, **({} if self.old else {"pipeline_store": "database"})}

    def list_items(self, request: Request, query: dict[str, str], kind: str, parent: str = "") -> Item:
        kind = kind.replace("recurringruns", "recurring_runs")
        items = list(getattr(self, kind).values())
        if parent:
            items = [item for item in items if item["pipeline_id"] == parent]
        if "experiment_id" in query:
            self._get("experiments", query["experiment_id"])
            items = [item for item in items if item["experiment_id"] == query["experiment_id"]]
        elif self.multi_user and kind in ("experiments", "pipelines") and "namespace" not in query:
            raise RefusedError(400, "Invalid input error: A namespace is required in multi-user mode")
        if "namespace" in query:
            items = [item for item in items if item.get("namespace", "") == query["namespace"]]
        matches = matcher(unquote_plus(query.get("filter", "")), FILTERED[kind])
        ordered = sorted((item for item in items if matches(item)), key=lambda item: place(item, kind))
        return page(ordered, kind, query)

    def list_versions(self, request: Request, query: dict[str, str], pipeline: str) -> Item:
        self._get("pipelines", pipeline)
        return self.list_items(request, query, "pipeline_versions", pipeline)

    def get_item(self, request: Request, query: dict[str, str], kind: str, identifier: str) -> Item:
        kind = kind.replace("recurringruns", "recurring_runs")
        found = self._get(kind, identifier)
        if kind == "runs":
            self.on_get_run(found)
        return found

    def create_experiment(self, request: Request, query: dict[str, str]) -> Item:
        body = checked("V2beta1Experiment", request.body)
        if self.multi_user and not body.get("namespace"):
            raise RefusedError(
                400, "Invalid input error: Invalid resource references for experiment. Expect one namespace."
            )
        self._refuse_second("experiments", body)
        return self._keep("experiments", {"storage_state": "AVAILABLE", **body})

    def create_pipeline(self, request: Request, query: dict[str, str]) -> Item:
        body = checked("V2beta1Pipeline", request.body)
        self._refuse_second("pipelines", body)
        if self.old and "name" in body:
            raise RefusedError(400, "Invalid input error: unknown field name")
        if not self.old and not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", body.get("name", "")):
            raise RefusedError(400, "Invalid input error: a name must be that of a Kubernetes object")
        return self._keep("pipelines", body)

    def upload_version(self, request: Request, query: dict[str, str]) -> Item:
        self._get("pipelines", query["pipelineid"])
        documents = list(yaml.safe_load_all(request.body))
        require_spec(documents[0])
        version = {"display_name": query["name"], "name": query["name"], "pipeline_id": query["pipelineid"]}
        same = [item for item in self.pipeline_versions.values() if item["pipeline_id"] == query["pipelineid"]]
        if query["name"] in [item["display_name"] for item in same]:
            raise RefusedError(409, "Already exist error: Failed to create a pipeline version. The name already exists")
        spec = documents[0] if len(documents) == 1 else {"pipeline_spec": documents[0], "platform_spec": documents[1]}
        description = query.get("description", "")
        return self._keep("pipeline_versions", {**version, "description": description, "pipeline_spec": spec})

    def create_run(self, request: Request, query: dict[str, str]) -> Item:
        body = checked("V2beta1Run", request.body)
        self._require_source(body)
        return self._keep("runs", {"state": "PENDING", "storage_state": "AVAILABLE", **body})

    def create_recurring_run(self, request: Request, query: dict[str, str]) -> Item:
        body = checked("V2beta1RecurringRun", request.body)
        self._require_source(body)
        if not 1 <= int(body.get("max_concurrency", 0)) <= 10:
            raise RefusedError(400, "Invalid input error: The max concurrency of the recurring run is out of range.")
        cron = body["trigger"]["cron_schedule"]["cron"].split()
        if len(cron) not in (5, 6) or not all(re.fullmatch(r"[0-9a-z*?,/-]+", word) for word in cron):
            raise RefusedError(400, "Invalid input error: Schedule cron is not a supported format")
        if body.get("mode") not in ("ENABLE", "DISABLE"):
            raise RefusedError(400, "Invalid input error: Invalid recurring run mode")
        return self._keep("recurring_runs", {"status": f"{body['mode']}D", **body})

    def switch_recurring_run(self, request: Request, query: dict[str, str], identifier: str, verb: str) -> Item:
        found = self._get("recurring_runs", identifier)
        found["status"], found["mode"] = f"{verb.upper()}D", verb.upper()
        self._count_enabled()
        return {}

    def delete_item(self, request: Request, query: dict[str, str], kind: str, identifier: str) -> Item:
        kind = kind.replace("recurringruns", "recurring_runs")
        self._get(kind, identifier)
        del getattr(self, kind)[identifier]
        if kind == "recurring_runs":
            own = [run for run in self.runs.values() if run.get("recurring_run_id") == identifier]
            for run in own:  # Kubernetes deletes what belongs to what is deleted, unless it is orphaned
                if run["state"] in ACTIVE and query.get("propagation_policy") != "ORPHAN":
                    run["state"] = "FAILED"
            self.orphaned += [run["run_id"] for run in own if run["state"] in ACTIVE]
        return {}

    def terminate_run(self, request: Request, query: dict[str, str], identifier: str) -> Item:
        self._get("runs", identifier)["state"] = "CANCELING"
        return {}

    def _require_source(self, body: Item) -> None:
        """Checks experiment, pipeline and parameters of a run that is to be made."""
        experiment = self._get("experiments", body.get("experiment_id", ""))
        if experiment["storage_state"] == "ARCHIVED":
            raise RefusedError(400, "Invalid input error: The experiment is archived")
        reference = body.get("pipeline_version_reference")
        if bool(reference) == bool(body.get("pipeline_spec")):
            raise RefusedError(400, "Invalid input error: Please specify either a pipeline spec or a pipeline version")
        if reference:
            version = self._get("pipeline_versions", reference.get("pipeline_version_id", ""))
            if version["pipeline_id"] != reference.get("pipeline_id"):
                raise RefusedError(404, "Pipeline version not found")
            spec = version["pipeline_spec"]
        else:
            spec = body["pipeline_spec"]
        spec = spec.get("pipeline_spec", spec)
        require_spec(spec)
        declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
        unknown = set(body.get("runtime_config", {}).get("parameters", {})) - set(declared)
        if unknown:
            raise RefusedError(400, f"Invalid input error: Unrecognized input parameters: {sorted(unknown)}")

    def _refuse_second(self, kind: str, body: Item) -> None:
        same = [item for item in getattr(self, kind).values() if item.get("namespace") == body.get("namespace")]
        names = {item[key] for item in same for key in ("display_name", "name") if key in item}
        if names & {body["display_name"], body.get("name", body["display_name"])}:
            raise RefusedError(409, f"Already exist error: {kind} named {body['display_name']} already exists")

    def _get(self, kind: str, identifier: str) -> Item:
        if identifier not in getattr(self, kind):
            raise RefusedError(404, f"ResourceNotFoundError: {kind} {identifier} not found")
        return getattr(self, kind)[identifier]

    def _keep(self, kind: str, item: Item) -> Item:
        with self.lock:
            identifier = str(uuid.uuid4())
            kept = {**item, IDENTIFIERS[kind]: identifier, "created_at": self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")}
            getattr(self, kind)[identifier] = kept
            self._count_enabled()
            return kept

    def _count_enabled(self) -> None:
        for name in {run["display_name"] for run in self.recurring_runs.values()}:
            self.most_enabled = max(self.most_enabled, len(self.enabled(name)))


ROUTES = (
    ("GET healthz", "healthz"),
    ("GET (experiments|pipelines|runs|recurringruns)", "list_items"),
    ("GET pipelines/([^/]+)/versions", "list_versions"),
    ("GET (experiments|runs|recurringruns)/([^/:]+)", "get_item"),
    ("POST experiments", "create_experiment"),
    ("POST pipelines", "create_pipeline"),
    ("POST pipelines/upload_version", "upload_version"),
    ("POST runs", "create_run"),
    ("POST recurringruns", "create_recurring_run"),
    ("POST recurringruns/([^/:]+):(enable|disable)", "switch_recurring_run"),
    ("POST runs/([^/:]+):terminate", "terminate_run"),
    ("DELETE (runs|recurringruns)/([^/:]+)", "delete_item"),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
    api: KfpApi

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, headers, _body(self.headers, raw))
        self.api.requests.append(request)
        self.api.before(request)
        fault = self._fault(request)
        try:
            if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
                raise RefusedError(401, "Unauthenticated: Request header error: there is no valid token")
            if fault == "hang up":
                return self._hang_up()
            if fault == "login page":
                return self._send(200, "text/html", b"<html><form>Log in</form></html>")
            if isinstance(fault, int):
                raise RefusedError(fault, "told to fail")
            answer = self.api.answer(request, query)
        except RefusedError as refusal:
            details = {"code": GRPC_CODES.get(refusal.status, 2), "message": str(refusal), "details": []}
            if "/upload" in request.path:  # not behind the gateway that writes a google.rpc.Status
                details = {"error_message": str(refusal), "error_details": str(refusal)}
            return self._send(refusal.status, "application/json", json.dumps(details).encode())
        if fault == "lose the answer":
            return self._hang_up()
        return self._send(200, "application/json", json.dumps(answer).encode())

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 (the names that http.server looks for)

    def _fault(self, request: Request) -> int | str | None:
        for fault in self.api.faults:
            if fault.times and re.search(fault.pattern, f"{request.method} {request.path}"):
                fault.times -= 1
                return fault.how
        return None

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Says nothing."""


def _body(headers: Any, raw: bytes) -> Any:
    """Returns JSON as values, an uploaded file as its bytes."""
    kind = headers.get("Content-Type", "")
    if kind.startswith("multipart/form-data"):
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
        return parts["uploadfile"].get_payload(decode=True)
    return json.loads(raw) if raw else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of clients that have gone."""


@contextmanager
def serving(tls: Any = None) -> Iterator[KfpApi]:
    """Runs a server while the context is open.

    Args:
        tls: SSL context, to serve by HTTPS.
    """
    api = KfpApi()
    handler = type("Handler", (_Handler,), {"api": api})
    server = _Server(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.address = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def compile_tiny(path: Any, words: str = "hello") -> Any:
    """Compiles a package of one task inside an exit handler, with our runtime parameters and with Kubeflow's cache on.

    Args:
        path: YAML file to write.
        words: what the task says; another word makes another package.
    """
    from kfp import compiler, dsl

    @dsl.container_component
    def say(span: str, image: str):
        return dsl.ContainerSpec(image="busybox:1.36", command=["echo", words, span, image])

    @dsl.container_component
    def end():
        return dsl.ContainerSpec(image="busybox:1.36", command=["true"])

    @dsl.pipeline(name="tiny")
    def tiny(span: str = "", image: str = "busybox:1.36"):
        with dsl.ExitHandler(end()):
            say(span=span, image=image)

    compiler.Compiler().compile(tiny, str(path))
    return path
