"""Asking a Kubeflow Pipelines API server: what is checked first, how lists are read, how refusals are told.

`kfp.Client` keeps address, certificates and token. Requests go through the services that it exposes
(`client.recurring_runs` and so on) rather than its own methods: those print links to standard output, wait for ever
on a server that hangs, and leave out parts of the API.
"""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.kubeflow.connection import Connection
from serving.client.proxies import direct_hint

_TIMEOUT = (10, 60)  # seconds to connect, and to wait for an answer
_PAGE = 100  # items asked for at once; the server gives at most 200
_HEALTH = "/apis/v2beta1/healthz"


class ClusterError(OSError):
    """The cluster could not be asked, or did not do what it was asked; the message tells people what to do."""


class NotThereError(ClusterError):
    """What was named is not there (any more)."""


class AlreadyThereError(ClusterError):
    """What should be made exists already."""


class Cluster:
    """A Kubeflow Pipelines API server that has answered.

    Args:
        connection: how it is reached.
        client: the connected `kfp.Client`.

    Attributes:
        health: what the server says of itself: `multi_user`, and in newer releases `pipeline_store`.
    """

    def __init__(self, connection: Connection, client: Any) -> None:
        self.connection = connection
        self.client = client
        self.health: dict[str, Any] = {}

    def ask(self, doing: str, call: Callable[..., Any], **words: Any) -> Any:
        """Asks once.

        Args:
            doing: what for, e.g. "listing runs"; named in messages.
            call: method of one of the client's services.
            **words: its arguments.

        Returns:
            The answer, as kfp_server_api's models.

        Raises:
            ClusterError: if nobody answers, or the answer is a refusal.
        """
        with _told(self.connection, doing):
            return call(**words, _request_timeout=_TIMEOUT)

    def every(self, doing: str, call: Callable[..., Any], key: str, **words: Any) -> Iterator[Any]:
        """Yields every item of a list, page by page.

        Args:
            doing: what for; named in messages.
            call: a list method of one of the client's services.
            key: attribute of its answer that holds the items.
            **words: its arguments.

        Raises:
            ClusterError: as `ask`.
        """
        token = ""
        while True:
            page = self.ask(doing, call, page_token=token, page_size=_PAGE, **words)
            yield from getattr(page, key) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def experiment(self, name: str, create: bool) -> str | None:
        """Returns the identifier of an experiment; None if there is none and none is to be made.

        Args:
            name: as it is shown.
            create: whether to make it if need be.

        Raises:
            ClusterError: as `ask`; also if it is archived, because nothing runs in it then.
        """
        from kfp_server_api import V2beta1Experiment

        found = self._find_experiment(name)
        if found is None and create:
            body = V2beta1Experiment(display_name=name, namespace=self.connection.namespace)
            service = self.client.experiments.experiment_service_create_experiment
            with contextlib.suppress(AlreadyThereError):  # somebody else was faster
                self.ask(f"making the experiment {name!r}", service, experiment=body)
            found = self._find_experiment(name)
            if found is None:
                raise ClusterError(f"{self.connection.host}: made the experiment {name!r}, but does not list it.")
        if found is None:
            return None
        if create and found.storage_state == "ARCHIVED":
            raise ClusterError(
                f"experiment {name!r}: must not be archived, for nothing runs in it then. "
                "Restore it on Kubeflow's page, or name another one by `experiment`."
            )
        return str(found.experiment_id)

    def _find_experiment(self, name: str) -> Any:
        words = {"namespace": self.connection.namespace} if self.connection.namespace else {}
        service = self.client.experiments.experiment_service_list_experiments
        items = self.every("looking up the experiment", service, "experiments", filter=named(name), **words)
        return next((item for item in items if item.display_name == name), None)

    def link(self, page: str) -> str:
        """Returns the address of a page of Kubeflow's user interface, e.g. of "runs/details/<id>"."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.connection.host).rstrip('/')}/#/{page}"


def named(name: str) -> str:
    """Returns the filter that lists only what is shown under a name.

    Source: https://github.com/kubeflow/pipelines/blob/master/backend/api/v2beta1/filter.proto
    """
    words = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]})
    # The server decodes a filter once more than HTTP does, which would turn + into a space.
    return words.replace("+", "\\u002b").replace("%", "\\u0025")


def connect(connection: Connection) -> Cluster:
    """Connects, and makes sure that what answers is Kubeflow Pipelines, and recent enough.

    Args:
        connection: how the server is reached.

    Raises:
        ClusterError: if it cannot be reached, refuses us, or is something else.
        ValueError: if Kubeflow has several users and no namespace was named.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns everybody that it needs KFP 2
        import kfp.client

        token = connection.token_file
        client = kfp.client.Client(
            host=connection.host,
            # Any name but "kubeflow" makes it leave the server alone: otherwise it asks for its health itself, five
            # times, 5 s apart, with a stack trace for each refusal. Our requests name their namespace themselves.
            namespace="default",
            credentials=kfp.client.ServiceAccountTokenVolumeCredentials(str(token)) if token else None,
            ssl_ca_cert=str(connection.authority) if connection.authority else None,
        )
    cluster = Cluster(connection, client)
    cluster.health = _health(cluster)
    if cluster.health.get("multi_user") and connection.namespace is None:
        raise ValueError(
            f"namespace: is missing, and {connection.host} has several users. Name that of your Kubeflow profile."
        )
    return cluster


def _health(cluster: Cluster) -> dict[str, Any]:
    """Returns what the server says of itself. Raw, because the client takes any page, a login form say, for healthy."""
    host = cluster.connection.host
    with _told(cluster.connection, "asking for its health"):
        try:
            answer = cluster.client.healthzs.healthz_service_get_healthz(
                _preload_content=False, _request_timeout=_TIMEOUT
            )
        except Exception as error:
            if getattr(error, "status", None) == 404:
                raise ClusterError(
                    f"{host}{_HEALTH}: must answer (Kubeflow Pipelines 2.4 or newer), got 404. Upgrade it, or correct "
                    "`host`: behind Kubeflow's gateway it ends with /pipeline."
                ) from error
            raise
    try:
        health = json.loads(answer.data)
    except ValueError:
        health = None
    if not isinstance(health, dict):
        raise ClusterError(
            f"{host}{_HEALTH}: must answer with JSON, got something else, probably a login page. "
            "Name a token by `token_file`, or correct `host`."
        )
    return health


@contextlib.contextmanager
def _told(connection: Connection, doing: str) -> Iterator[None]:
    """Turns whatever the client raises into one line."""
    import urllib3.exceptions
    from kfp_server_api.exceptions import ApiException, OpenApiException

    host = connection.host
    try:
        yield
    except ApiException as error:
        raise _refusal(connection, doing, error.status or 0, _message(error)) from error
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, urllib3.exceptions.SSLError):
            raise ClusterError(
                f"{host}: must show a certificate that we trust: {_short(reason)}. "
                "Name its authority by `authority`, or correct `host`."
            ) from error
        if isinstance(reason, urllib3.exceptions.ProtocolError | urllib3.exceptions.ReadTimeoutError):
            raise ClusterError(
                f"{host}: broke off while {doing}, so that it may be done or not. Call again: what was done is found."
            ) from error
        raise ClusterError(
            f"{host}: cannot be reached: {_short(reason)}. Correct `host`, or see whether it is up and your network "
            f"leads there.{direct_hint(host)}"
        ) from error
    except (OpenApiException, UnicodeDecodeError) as error:
        raise ClusterError(f"{host}: answered what is no answer of Kubeflow Pipelines, while {doing}.") from error


def _refusal(connection: Connection, doing: str, status: int, message: str) -> ClusterError:
    """Returns the error for a status of HTTP."""
    host, token = connection.host, connection.token_file
    said = f": {message}" if message else ""
    if status == 401:
        given = f"that of {token}" if token else "none"
        return ClusterError(f"{host}: must be shown a valid token, got {given} (401{said}). Name one by `token_file`.")
    if status == 403:
        where = f" in namespace {connection.namespace!r}" if connection.namespace else ""
        return ClusterError(
            f"{host}: does not allow us {doing}{where} (403{said}). Ask for the role, or correct `namespace` or "
            "`token_file`."
        )
    if status == 404:
        return NotThereError(f"{host}: has not what is needed for {doing} (404{said}).")
    if status == 409:
        return AlreadyThereError(f"{host}: refused {doing}, it exists (409{said}).")
    fix = " Call again later." if status == 429 or status >= 500 else ""
    return ClusterError(f"{host}: refused {doing} ({status}{said}).{fix}")


def _message(error: Any) -> str:
    """Returns what the body says, a google.rpc.Status or the error of an upload, in one line; "" if it is neither."""
    with contextlib.suppress(ValueError, TypeError):
        body = json.loads(error.body)
        if isinstance(body, dict):
            return _short(body.get("message") or body.get("error_message") or body.get("error") or "")
    return ""


def _short(reason: Any) -> str:
    """Returns a reason in one line of at most 300 characters, without urllib3's names for connections."""
    text = re.sub(r"^(<[^>]*>|HTTPS?Connection(Pool)?\([^)]*\)): ", "", " ".join(str(reason).split())).rstrip(".")
    return text if len(text) <= 300 else f"{text[:297]}..."
