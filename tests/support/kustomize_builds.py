"""What kubectl makes of the manifests: every overlay alone and with each component, and the jobs; each built once."""

import copy
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.support.repository import REPOSITORY

K8S = REPOSITORY / "k8s"
JOBS = sorted((K8S / "jobs").glob("*.yaml"))

OVERLAYS = ("gpu", "cpu")
COMPONENTS = ("monitoring", "kserve", "drift", "standalone")
# An overlay's name, and those of the components on top of it.
BUILDS = [
    ("base",),
    *((overlay,) for overlay in OVERLAYS),
    *((overlay, component) for overlay in OVERLAYS for component in COMPONENTS),
    *((overlay, "monitoring", "kserve", "drift", "standalone") for overlay in OVERLAYS),
]
JOB_NAMES = [("job", path.stem) for path in JOBS]


def kubectl() -> str:
    """Returns the client beside this Python, else the one on the path."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is missing: ./bootstrap installs it"
    return found


def kustomize(folder: Path) -> list[dict]:
    """Builds a kustomization.

    Raises:
        subprocess.CalledProcessError: if it does not build; `stderr` says why.
    """
    command = [kubectl(), "kustomize", str(folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return [document for document in yaml.safe_load_all(text) if document]


@functools.cache
def _built(build: tuple[str, ...]) -> list[dict]:
    if build[0] == "job":
        return [each for each in yaml.safe_load_all((K8S / "jobs" / f"{build[1]}.yaml").read_text()) if each]
    if build == ("base",):
        return kustomize(K8S / "base")
    overlay, *components = build
    if not components:
        return kustomize(K8S / "overlays" / overlay)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        kustomization = {
            "resources": [os.path.relpath(K8S / "overlays" / overlay, place)],
            "components": [os.path.relpath(K8S / "components" / component, place) for component in components],
        }
        (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return kustomize(place)


def documents(build: tuple[str, ...]) -> list[dict]:
    """Returns the objects of one build; the caller may change them."""
    return copy.deepcopy(_built(build))


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [each for each in objects if each["kind"] in kinds]


def named(objects: list[dict], kind: str, name: str) -> dict:
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def title(thing: dict) -> str:
    metadata = thing["metadata"]
    return f"{thing['kind']}/{metadata.get('name') or metadata['generateName']}"


def pod_template(thing: dict) -> dict | None:
    """Returns metadata and spec of the pods that an object makes; None if it makes none."""
    if thing["kind"] == "Pod":
        return {"metadata": thing["metadata"], "spec": thing["spec"]}
    if thing["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
        return thing["spec"]["template"]
    if thing["kind"] == "CronJob":
        return thing["spec"]["jobTemplate"]["spec"]["template"]
    return None


def pods(objects: list[dict]) -> Iterator[tuple[dict, dict]]:
    """Gives every object that makes pods, with their template."""
    for thing in objects:
        template = pod_template(thing)
        if template is not None:
            yield thing, template


def containers(spec: dict) -> list[dict]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def container(objects: list[dict], kind: str, name: str, called: str) -> dict:
    template = pod_template(named(objects, kind, name))
    assert template is not None
    (found,) = [each for each in containers(template["spec"]) if each["name"] == called]
    return found
