"""TF Serving's own configuration files, read as TF Serving reads them: protobufs in text form.

The same models.config, batching_parameters.txt, monitoring.config and TLS file serve both servers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import InvalidArgumentError
from serving.server.configuration import messages
from serving.server.configuration.parameters import DEFAULT_METRICS_PATH, BatchingParameters, Monitoring, TlsFiles

_PLATFORM = "tensorflow"


@dataclass(frozen=True)
class VersionPolicy:
    """Which of a model's versions are served.

    Attributes:
        kind: "latest", the newest `count`; "all"; or "specific", those in `versions`.
        count: how many, for "latest".
        versions: which, for "specific".
    """

    kind: Literal["latest", "all", "specific"] = "latest"
    count: int = 1
    versions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuses policies that want nothing."""
        if self.kind == "latest" and self.count < 1:
            raise ValueError(f"model_version_policy: num_versions must be at least 1, got {self.count}.")
        if self.kind == "specific" and not self.versions:
            raise ValueError("model_version_policy: specific must name at least one version, got none.")

    def choose(self, numbers: Iterable[int]) -> set[int]:
        """Returns those of the versions on disk that are to be served."""
        if self.kind == "specific":
            return set(numbers) & set(self.versions)
        ordered = sorted(numbers)
        return set(ordered if self.kind == "all" else ordered[-self.count :])


@dataclass(frozen=True)
class ModelConfig:
    """One model to serve.

    Attributes:
        name: what requests ask for.
        base_path: directory of its versions, absolute.
        policy: which versions are served.
        labels: label -> version; for requests that ask by label.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)


def model_configs(config: model_server_config_pb2.ModelServerConfig) -> list[ModelConfig]:
    """Reads the models that a server is asked to serve.

    Args:
        config: as HandleReloadConfigRequest carries it, or models.config holds it.

    Returns:
        the models, in their order; none if the list is empty.

    Raises:
        InvalidArgumentError: with TF Serving's wording where it refuses the same.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InvalidArgumentError(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    models: dict[str, ModelConfig] = {}
    for each in config.model_config_list.config:
        if each.name in models:
            raise InvalidArgumentError(f"Illegal to list model {each.name} multiple times in config list")
        models[each.name] = _model_config(each)
    return list(models.values())


def read_model_configs(path: Path) -> list[ModelConfig]:
    """Reads a models.config file.

    Raises:
        ValueError: naming the file and what is wrong in it.
        OSError: if it cannot be read.
    """
    config = model_server_config_pb2.ModelServerConfig()
    _parse(path, config)
    try:
        models = model_configs(config)
    except InvalidArgumentError as error:
        raise ValueError(f"{path}: {error}") from error
    if not models:
        raise ValueError(f"{path}: must list at least one model in model_config_list, lists none.")
    return models


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Reads a batching_parameters.txt file; what it does not set keeps its default.

    Raises:
        ValueError: naming the file and what is wrong in it, or what it sets that this server does not do.
        OSError: if it cannot be read.
    """
    message = messages.BatchingParameters()
    _parse(path, message)
    for name in ("allowed_batch_sizes", "pad_variable_length_inputs"):
        if getattr(message, name):
            raise ValueError(
                f"{path}: {name}: is not supported, because batches here are neither padded nor restricted. Remove it."
            )
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    given = {name: getattr(message, name).value for name in names if message.HasField(name)}
    return _checked(path, BatchingParameters, given)


def read_monitoring_config(path: Path) -> Monitoring:
    """Reads a monitoring.config file.

    Raises:
        ValueError: naming the file and what is wrong in it.
        OSError: if it cannot be read.
    """
    message = messages.MonitoringConfig()
    _parse(path, message)
    prometheus = message.prometheus_config
    return _checked(path, Monitoring, {"enabled": prometheus.enable, "path": prometheus.path or DEFAULT_METRICS_PATH})


def read_ssl_config(path: Path) -> TlsFiles:
    """Reads the file that TF Serving takes as --ssl_config_file; it holds keys and certificates themselves.

    Raises:
        ValueError: naming the file and what is wrong in it.
        OSError: if it cannot be read.
    """
    message = messages.SSLConfig()
    _parse(path, message)
    for name in ("server_key", "server_cert"):
        if not getattr(message, name):
            raise ValueError(f"{path}: {name}: must hold PEM text, is empty.")
    given = {
        "certificate": message.server_cert.encode(),
        "key": message.server_key.encode(),
        "client_authority": message.custom_ca.encode() or None,
        "require_client": message.client_verify,
    }
    return _checked(path, TlsFiles, given)


def _model_config(config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    if not config.name:
        raise InvalidArgumentError("config: name: must be given, is empty.")
    if any(character in config.name for character in "/:"):
        raise InvalidArgumentError(f"config: name: must be without '/' and ':', got {config.name!r}.")
    if config.HasField("logging_config"):
        raise InvalidArgumentError(f"model {config.name}: logging_config: is not supported here. Remove it.")
    if "" in config.version_labels:
        raise InvalidArgumentError(f"model {config.name}: version_labels: a label must not be empty.")
    if not config.model_platform and config.model_type != model_server_config_pb2.ModelType.TENSORFLOW:
        raise InvalidArgumentError(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if (config.model_platform or _PLATFORM) != _PLATFORM:
        raise InvalidArgumentError(f"Model {config.name} requests unsupported platform {config.model_platform}")
    if not Path(config.base_path).is_absolute():
        raise InvalidArgumentError(
            f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
        )
    policy = config.model_version_policy
    try:
        match policy.WhichOneof("policy_choice"):
            case "all":
                chosen = VersionPolicy("all")
            case "specific":
                chosen = VersionPolicy("specific", versions=tuple(policy.specific.versions))
            case "latest":
                # 0, which is also what an unset number reads as, means 1 in TF Serving.
                chosen = VersionPolicy("latest", policy.latest.num_versions or 1)
            case _:
                chosen = VersionPolicy()
    except ValueError as error:
        raise InvalidArgumentError(f"model {config.name}: {error}") from error
    return ModelConfig(config.name, Path(config.base_path), chosen, dict(config.version_labels))


def _parse(path: Path, message: Message) -> None:
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        kind = message.DESCRIPTOR.name
        raise ValueError(f"{path}: is no {kind} in protobuf's text form: {error}.") from error


def _checked(path: Path, kind: type, given: Mapping[str, Any]) -> Any:
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
