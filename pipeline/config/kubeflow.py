"""Parameters of the pipeline on Kubeflow: image, volume, and what each task may use. Nothing heavy is imported here."""

import re
from pathlib import PurePosixPath
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from components.parameters import Parameters
from pipeline.config.nodes import kind_of

# Kubernetes quantities: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_CPU = r"^([0-9]+(\.[0-9]+)?|[0-9]+m)$"
_BYTES = r"^[0-9]+(\.[0-9]+)?(E|P|T|G|M|K|Ei|Pi|Ti|Gi|Mi|Ki)?$"
# RFC 1123 subdomain, as names of claims, secrets and service accounts are.
_OBJECT_NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_TAG_OR_DIGEST = re.compile(r"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$")


class TolerationParameters(Parameters):
    """A taint of cluster nodes that a task puts up with.

    Attributes:
        key: of the taint.
        operator: "Exists", whatever its value; "Equal", with this value.
        value: with "Equal" only.
        effect: which effect is meant; None: all.
    """

    key: str = Field(min_length=1)
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _values_are_compared(self) -> "TolerationParameters":
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("value: must be given with operator 'Equal', and with no other. Set operator: Equal.")
        return self


class TaskParameters(Parameters):
    """What one task of the pipeline may use, and where it may run.

    Attributes:
        cpu: cores that are reserved, e.g. "2" or "500m".
        cpu_limit: cores that it never exceeds; None sets no limit, so that idle cores can be used.
        memory: bytes that are reserved, and the limit as well: what exceeds it is killed.
        gpus: graphics processors, reserved whole.
        gpu_resource: what the cluster calls them.
        node_selector: labels that a cluster node must have.
        tolerations: taints that it puts up with.
        shared_memory: size of /dev/shm, which lies in memory and counts as such; None leaves the container's 64 MB.
        timeout_minutes: after which a task is ended.
        retries: how often a failed task is started again.
        retry_seconds: pause before the first retry; it doubles with each.
    """

    cpu: str = Field(default="1", pattern=_CPU)
    cpu_limit: str | None = Field(default=None, pattern=_CPU)
    memory: str = Field(default="4Gi", pattern=_BYTES)
    gpus: int = Field(default=0, ge=0, le=16)
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1)
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[TolerationParameters, ...] = ()
    shared_memory: str | None = Field(default="1Gi", pattern=_BYTES)
    timeout_minutes: int = Field(default=24 * 60, ge=1)
    retries: int = Field(default=2, ge=0, le=10)
    retry_seconds: int = Field(default=30, ge=1)

    @field_validator("tolerations", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class SecretKey(Parameters):
    """One value in a Kubernetes Secret.

    Attributes:
        name: of the Secret.
        key: in it.
    """

    name: str = Field(default="generator-attribution-metadata", pattern=_OBJECT_NAME)
    key: str = Field(default="password", min_length=1, max_length=253)


class KubeflowParameters(Parameters):
    """The pipeline on Kubeflow.

    Attributes:
        image: of every task, with a tag other than latest, or a digest: a run must not change with its registry.
        image_pull_policy: when a node of the cluster asks the registry again.
        image_pull_secrets: Secrets that open the registry.
        volume_claim: claim of the volume that all tasks share (ReadWriteMany). It must exist.
        volume_mount: where tasks see it; `data.dataset` and `output_root` lie below.
        service_account: that tasks run as.
        user: numeric user and group of every task; never 0.
        password_secret: where the metadata store's password is kept.
        resources: of every task.
        nodes: of single nodes, e.g. `PrimaryTrainer`, or of all of a kind, e.g. `SecondaryTrainer`. Keys that are
            left out are those of `resources`. What names one node wins over what names its kind.
    """

    image: str = "generator-attribution:0.1.0"
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    volume_claim: str = Field(default="generator-attribution", pattern=_OBJECT_NAME)
    volume_mount: str = "/mnt/generator-attribution"
    service_account: str = Field(default="generator-attribution-pipeline", pattern=_OBJECT_NAME)
    user: int = Field(default=65532, ge=1)
    password_secret: SecretKey = SecretKey()
    resources: TaskParameters = TaskParameters()
    nodes: dict[str, TaskParameters] = Field(default_factory=dict)

    @field_validator("image_pull_secrets", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str) -> str:
        if not _TAG_OR_DIGEST.search(image) or image.endswith(":latest"):
            raise ValueError("must end with a tag other than latest (name:0.1.0) or with a digest (name@sha256:...)")
        return image

    @field_validator("volume_mount")
    @classmethod
    def _absolute(cls, mount: str) -> str:
        path = PurePosixPath(mount)
        if not path.is_absolute() or len(path.parts) < 2 or ".." in path.parts:
            raise ValueError("must be an absolute folder, not / itself, e.g. /mnt/generator-attribution")
        return str(path)

    def task(self, node: str) -> TaskParameters:
        """Returns what the task of a node may use.

        Args:
            node: identifier, e.g. "SecondaryTrainer.progan_celeba".
        """
        values = self.resources.model_dump()
        for key in dict.fromkeys((kind_of(node), node)):
            if key in self.nodes:
                values |= self.nodes[key].model_dump(exclude_unset=True)
        return TaskParameters.model_validate(values)
