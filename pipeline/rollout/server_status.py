"""Asking running servers, by their REST API, whether a version answers and what a label names."""

import json
import time
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pipeline.rollout.models_file import ModelsFileError
from serving.client.proxies import open_url_hint, url_opener

_REQUEST_SECONDS = 10.0


@dataclass(frozen=True)
class VersionStatus:
    """What a server says of one version.

    Attributes:
        state: AVAILABLE once it answers; START, LOADING, UNLOADING, END otherwise.
        error: why it is not available; empty if nothing failed.
    """

    state: str
    error: str


@dataclass(frozen=True)
class Servers:
    """The servers to wait for.

    Attributes:
        addresses: REST addresses, e.g. http://127.0.0.1:8501; every replica behind a Service has one of its own.
        seconds: the longest wait for each change: the server's look at the file, and the loading of a version.
        poll_seconds: between two questions.
        report: told, in a line, what is waited for.
    """

    addresses: Sequence[str]
    seconds: float = 300.0
    poll_seconds: float = 0.5
    report: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        """Refuses what cannot be asked."""
        for address in self.addresses:
            if not address.startswith(("http://", "https://")):
                raise ValueError(
                    f"addresses: must be the REST address of a server, e.g. http://127.0.0.1:8501, got {address!r}."
                )
        if not self.seconds > 0:
            raise ValueError(f"seconds: must be greater than 0, got {self.seconds:g}.")

    def statuses(self, model: str, version: int) -> dict[str, VersionStatus | None]:
        """Asks every server about a version.

        Returns:
            address -> what it says; None where it does not know the version.

        Raises:
            ModelsFileError: if a server cannot be asked, or does not serve the model.
        """
        return {address: _status(address, model, version) for address in self.addresses}

    def wait_for_version(
        self, model: str, version: int, earlier: "dict[str, VersionStatus | None] | None" = None
    ) -> None:
        """Waits until every server answers with a version if it is asked for it.

        Args:
            model: its name.
            version: the version.
            earlier: what the servers said before they were told to load it. A failure of then is not one of now.

        Raises:
            ModelsFileError: if it fails to load, or takes too long.
        """
        for address in self.addresses:
            known = (earlier or {}).get(address)
            self.report(f"waiting until version {version} is AVAILABLE at {address}")
            last = time.monotonic() + self.seconds
            status = _status(address, model, version)
            while status is None or status.state != "AVAILABLE":
                said = "does not know it yet" if status is None else f"says {status.state} {status.error}".rstrip()
                if status is not None and status.state == "END" and status.error and status != known:
                    raise ModelsFileError(
                        f"{address}: version {version} of model {model} fails to load: {status.error}"
                    )
                if time.monotonic() >= last:
                    raise ModelsFileError(
                        f"{address}: version {version} of model {model} is not available after {self.seconds:g} s; "
                        f"the server {said}. See its log, and whether it looks at the file again "
                        "(--model_config_file_poll_wait_seconds)."
                    )
                time.sleep(self.poll_seconds)
                status = _status(address, model, version)

    def wait_for_label(self, model: str, label: str, version: int) -> None:
        """Waits until a label names a version at every server.

        Raises:
            ModelsFileError: if that takes too long.
        """
        for address in self.addresses:
            self.report(f"waiting until label {label} names version {version} at {address}")
            last = time.monotonic() + self.seconds
            while (named := _labelled(address, model, label)) != version:
                if time.monotonic() >= last:
                    raise ModelsFileError(
                        f"{address}: label {label} of model {model} does not name version {version} after "
                        f"{self.seconds:g} s (it names {named}), although the file says so. See the server's log, and "
                        "whether it looks at the file again (--model_config_file_poll_wait_seconds)."
                    )
                time.sleep(self.poll_seconds)


def _status(address: str, model: str, version: int) -> VersionStatus | None:
    url = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}"
    try:
        return _versions(_get(url)).get(version)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelsFileError(
            f"{url}: cannot be asked: {error}. Give `addresses` the REST address of a server that serves the model, or "
            f"leave it out.{open_url_hint(url)}"
        ) from error


def _labelled(address: str, model: str, label: str) -> int | None:
    """Returns the version that a label names, None if it names none that answers.

    Metadata say it; a model's status is about all versions, whatever the label.
    Source: TF Serving, get_model_status_impl.cc and get_model_metadata_impl.cc.
    """
    url = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}/labels/{quote(label, safe='')}/metadata"
    try:
        return int(_get(url)["model_spec"]["version"])
    except urllib.error.HTTPError:  # the label is not known yet
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelsFileError(
            f"{url}: cannot be asked: {error}. The file has the label already.{open_url_hint(url)}"
        ) from error


def _versions(answer: dict[str, Any]) -> dict[int, VersionStatus]:
    return {
        int(each["version"]): VersionStatus(each["state"], each.get("status", {}).get("error_message", ""))
        for each in answer["model_version_status"]
    }


def _get(url: str) -> dict[str, Any]:
    with url_opener(url).open(url, timeout=_REQUEST_SECONDS) as response:  # http or https, checked above
        return json.load(response)
