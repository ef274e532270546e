"""A compiled package of Kubeflow Pipelines: read, checked, known by its digest, kept there as a pipeline version."""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.kubeflow.client import AlreadyThereError, Cluster, ClusterError, named


@dataclass(frozen=True)
class Package:
    """A compiled pipeline. Kubeflow's own cache is off in it: TFX decides what need not run again.

    Attributes:
        documents: the pipeline spec, and the platform spec if it has one, as plain values.
        digest: SHA-256 of both, hexadecimal; the same for the same content, however it was written down.
        parameters: names of the runtime parameters.
    """

    documents: tuple[Mapping[str, Any], ...]
    digest: str
    parameters: tuple[str, ...]

    @property
    def version(self) -> str:
        """Name of the pipeline version that holds it; a valid name of a Kubernetes object."""
        return f"sha256-{self.digest[:16]}"

    @property
    def spec(self) -> Mapping[str, Any]:
        """The package as a run takes it inline."""
        if len(self.documents) == 1:
            return self.documents[0]
        return {"pipeline_spec": self.documents[0], "platform_spec": self.documents[1]}

    def require(self, parameters: Mapping[str, Any]) -> None:
        """Raises ValueError if it lacks a parameter that a run is to be given."""
        for name in parameters:
            if name not in self.parameters:
                there = ", ".join(self.parameters) or "none"
                raise ValueError(f"package: has no runtime parameter {name!r}; it has: {there}. Compile it anew.")


@dataclass(frozen=True)
class PinnedVersion:
    """A pipeline version on the cluster.

    Attributes:
        pipeline_id: of the pipeline.
        version_id: of its version.
    """

    pipeline_id: str
    version_id: str


def read_package(path: Path) -> Package:
    """Reads what `genattr compile` wrote.

    Args:
        path: YAML file.

    Raises:
        ValueError: if it is no package of Kubeflow Pipelines 2.
        OSError: if it cannot be read.
    """
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    kinds = (pipeline_spec_pb2.PipelineSpec, pipeline_spec_pb2.PlatformSpec)
    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
        if not 1 <= len(documents) <= len(kinds):
            raise ValueError(f"it holds {len(documents)} documents")
        for document, kind in zip(documents, kinds, strict=False):
            json_format.ParseDict(document, kind())
        root = documents[0]["root"]
        components = documents[0].get("components", {}).values()
        for component in (root, *components):
            for task in component.get("dag", {}).get("tasks", {}).values():
                task["cachingOptions"] = {}
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, json_format.ParseError) as error:
        problem = " ".join(str(error).split())
        raise ValueError(
            f"{path}: must be a package of Kubeflow Pipelines 2: {problem}. Make one by genattr compile."
        ) from error
    digest = hashlib.sha256(json.dumps(documents, sort_keys=True).encode()).hexdigest()
    declared = root.get("inputDefinitions", {}).get("parameters", {})
    return Package(tuple(documents), digest, tuple(sorted(declared)))


def pin(cluster: Cluster, name: str, package: Package) -> PinnedVersion:
    """Keeps a package on the cluster, as a version of a pipeline; what is there already is used again.

    Args:
        cluster: to keep it on.
        name: of the pipeline.
        package: compiled pipeline.

    Raises:
        ClusterError: if the cluster cannot be asked, or refuses it.
    """
    pipeline_id = _find_pipeline(cluster, name) or _make_pipeline(cluster, name)
    found = _find_version(cluster, pipeline_id, package)
    if found is None:
        try:
            with _as_file(package) as file:
                cluster.ask(
                    f"uploading version {package.version} of pipeline {name!r}",
                    cluster.client.pipeline_uploads.upload_pipeline_version,
                    uploadfile=str(file),
                    name=package.version,
                    pipelineid=pipeline_id,
                    description=f"sha256:{package.digest}",
                )
        except ClusterError:
            # Somebody else may have been faster: not every release of Kubeflow Pipelines answers that by 409.
            found = _find_version(cluster, pipeline_id, package)
            if found is None:
                raise
        else:
            found = _find_version(cluster, pipeline_id, package)
    if found is None:
        raise ClusterError(f"{cluster.connection.host}: took version {package.version}, but does not list it.")
    return PinnedVersion(pipeline_id, found)


def _find_pipeline(cluster: Cluster, name: str) -> str | None:
    words = {"namespace": cluster.connection.namespace} if cluster.connection.namespace else {}
    service = cluster.client.pipelines.pipeline_service_list_pipelines
    items = cluster.every("looking up the pipeline", service, "pipelines", filter=named(name), **words)
    return next((str(item.pipeline_id) for item in items if item.display_name == name), None)


def _make_pipeline(cluster: Cluster, name: str) -> str:
    """Makes a pipeline without a version; uploading would add one that is named like the pipeline."""
    from kfp_server_api import V2beta1Pipeline

    body = V2beta1Pipeline(display_name=name, namespace=cluster.connection.namespace)
    if "pipeline_store" in cluster.health:
        # Releases that can keep pipelines as Kubernetes objects want an object's name; older ones know no such field.
        body.name = _object_name(name)
    with contextlib.suppress(AlreadyThereError):  # somebody else may be faster
        cluster.ask(
            f"making the pipeline {name!r}", cluster.client.pipelines.pipeline_service_create_pipeline, pipeline=body
        )
    found = _find_pipeline(cluster, name)
    if found is None:
        raise ClusterError(f"{cluster.connection.host}: made the pipeline {name!r}, but does not list it.")
    return found


def _object_name(name: str) -> str:
    """Returns a name that Kubernetes takes: the same, or the nearest with a digest, as others may be as near."""
    nearest = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    return name if nearest == name else f"{nearest}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("-")


def _find_version(cluster: Cluster, pipeline_id: str, package: Package) -> str | None:
    items = cluster.every(
        "looking up the pipeline's version",
        cluster.client.pipelines.pipeline_service_list_pipeline_versions,
        "pipeline_versions",
        pipeline_id=pipeline_id,
        filter=named(package.version),
    )
    return next((str(item.pipeline_version_id) for item in items if item.display_name == package.version), None)


@contextlib.contextmanager
def _as_file(package: Package) -> Iterator[Path]:
    """Yields the package as a YAML file, for as long as the context is open."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_text(yaml.safe_dump_all(package.documents, sort_keys=True), encoding="utf-8")
        yield file
