"""The one configuration of a pipeline: a YAML file, validated whole before anything starts.

It is composed of the parameter classes that the steps own. Every problem is reported at once, each with the field, the
rule, the value received and the fix.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from components.dataset.parameters import ConfoundParameters
from components.dataset.perturbed_copies import check_name
from components.evaluator.parameters import EvaluationParameters
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.leave_one_out.parameters import OpenSetParameters
from components.models.parameters import require_network
from components.monitoring.parameters import MonitoringParameters
from components.parameters import Parameters
from components.pusher.parameters import LicenceParameters
from components.servable.parameters import VerdictParameters
from components.servable_validator.parameters import ValidationParameters
from components.training.augmentation_parameters import require_window
from components.training.parameters import BaselineParameters, TrainingParameters
from pipeline.config.data import NAME, DataParameters, DirectoryText, SourceParameters, Text
from pipeline.config.kubeflow import KubeflowParameters
from pipeline.config.metadata import MetadataParameters
from pipeline.config.problems import sentence
from pipeline.config.recipes import RECIPES, RecipeName, with_recipe
from pipeline.config.yaml_text import YamlTextError, as_text, read_value, read_yaml, write_yaml
from serving.contract import DEFAULT_MODEL_NAME

ParametersType = TypeVar("ParametersType", bound=Parameters)


class ConfigurationError(Exception):
    """The configuration cannot be used; the message has one line a problem."""


class PipelineConfig(Parameters):
    """Everything that a run needs to know.

    Attributes:
        name: of the pipeline; also what TFX's cache is kept under.
        data: which dataset.
        output_root: folder for metadata, artifacts, pushed servables and reports. Relative to the current folder.
        input: what the models see.
        primary: training of the primary module.
        secondary: training of each head.
        recipe: settings of `input`, `primary` and `secondary` that belong together, see pipeline/config/recipes.py:
            "few_images", for tens to hundreds of images a source; "web", for thousands; or "paper". What the
            configuration gives itself wins; None leaves the rest at the defaults.
        attribution_level: what a head stands for: "instance", one source; or "architecture", all sources whose names
            are alike up to the first underscore; `sources` then names architectures.
        sources: the sources (or architectures) that get a head, in the order of the servable's outputs.
        verdict: how the servable decides.
        baselines: models of earlier work that are trained on the same data and stand beside ours in the report; they
            are never served.
        warm_start: output root of an earlier run; every model starts from the weights that the newest finished
            training of the same name left there, e.g. to go on with perturbed images. Or a servable, or the name of a
            model that comes with the product, whose primary module training starts from. None starts from scratch.
        confound: what to do when file format, compression, resolution or colour mode tells real from fake.
        evaluation: what blesses a model.
        open_set: whether every source takes its turn as an unknown generator.
        validation: the last check before a push.
        monitoring: when `genattr monitor` raises an alarm, and what it compares with.
        beam_pipeline_args: options of the data-parallel steps, e.g. another runner.
        beam_pipeline_args_of: instead of these, for single nodes, by identifier or kind, e.g. `Transform`, `Evaluator`.
        licences: terms of the weights and of the training images, which travel with what is pushed.
        metadata: where TFX records what ran.
        kubeflow: the same pipeline on a cluster.
    """

    name: Text = Field(min_length=1, max_length=63)
    data: DataParameters
    output_root: DirectoryText = Field(min_length=1)
    recipe: RecipeName | None = None
    input: InputParameters = InputParameters()
    primary: TrainingParameters = TrainingParameters()
    secondary: TrainingParameters = TrainingParameters()
    attribution_level: AttributionLevel = "instance"
    sources: tuple[SourceParameters, ...] = ()
    verdict: VerdictParameters = VerdictParameters()
    baselines: tuple[BaselineParameters, ...] = ()
    warm_start: DirectoryText | None = Field(default=None, min_length=1)
    confound: ConfoundParameters = ConfoundParameters()
    evaluation: EvaluationParameters = EvaluationParameters()
    open_set: OpenSetParameters = OpenSetParameters()
    validation: ValidationParameters = ValidationParameters()
    monitoring: MonitoringParameters = MonitoringParameters()
    beam_pipeline_args: tuple[str, ...] = ("--runner=FnApiRunner",)
    beam_pipeline_args_of: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    licences: LicenceParameters = LicenceParameters()
    metadata: MetadataParameters = MetadataParameters()
    kubeflow: KubeflowParameters = KubeflowParameters()

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("must start with a letter or digit and hold only letters, digits, '_', '.' and '-'")
        return name

    @model_validator(mode="before")
    @classmethod
    def _recipe(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("recipe") not in RECIPES:
            return values  # none, or refused in a moment
        return with_recipe(values, values["recipe"])

    @field_validator("beam_pipeline_args", "baselines", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("beam_pipeline_args_of", mode="before")
    @classmethod
    def _as_tuples(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {node: tuple(given) if isinstance(given, list) else given for node, given in value.items()}

    @field_validator("sources", mode="before")
    @classmethod
    def _bare_names(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple({"name": as_text(item)} if isinstance(as_text(item), str) else item for item in value)

    @model_validator(mode="after")
    def _distinct_sources(self) -> "PipelineConfig":
        names = [source.name for source in self.sources]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"sources: each may stand there once, {', '.join(repeated)} is repeated. Remove it.")
        return self

    @model_validator(mode="after")
    def _usable_baselines(self) -> "PipelineConfig":
        asked = [f"{baseline.architecture}.{baseline.task}" for baseline in self.baselines]
        repeated = sorted({name for name in asked if asked.count(name) > 1})
        if repeated:
            raise ValueError(f"baselines: each may stand there once, {', '.join(repeated)} is repeated. Remove it.")
        attributing = [name for name in asked if not name.endswith(".detection")]
        if attributing and not self.sources:
            raise ValueError(
                f"baselines: {', '.join(attributing)} needs sources to attribute images to, got none. "
                "Name them under sources, or choose task: detection."
            )
        return self

    @model_validator(mode="after")
    def _usable_windows(self) -> "PipelineConfig":
        for name, training in (("primary", self.primary), ("secondary", self.secondary)):
            try:
                require_window(self.input, training.augmentation)
            except ValueError as error:
                raise ValueError(f"{name}.{error}") from error
        return self

    @model_validator(mode="after")
    def _usable_networks(self) -> "PipelineConfig":
        transferless = {
            f"baselines.{number}.training": baseline.training
            for number, baseline in enumerate(self.baselines)
            if baseline.architecture == "notl"
        }
        for name, training in {"primary": self.primary, **transferless}.items():
            try:
                require_network(self.input, training.layers)
            except ValueError as error:
                raise ValueError(f"{name}.{error}") from error
        return self

    @model_validator(mode="after")
    def _known_perturbations(self) -> "PipelineConfig":
        for name in self.evaluation.perturbations:
            try:
                check_name(name)
            except ValueError as error:
                raise ValueError(f"evaluation.perturbations: {error}") from error
        return self

    @model_validator(mode="after")
    def _auxiliary_task_and_model_of_the_primary_module(self) -> "PipelineConfig":
        others = {"secondary": self.secondary} | {
            f"baselines[{number}].training": baseline.training for number, baseline in enumerate(self.baselines)
        }
        for name, training in others.items():
            if training.auxiliary is not None:
                raise ValueError(
                    f"{name}.auxiliary: must be none, got weight {training.auxiliary.weight:g}: only the primary "
                    "module is trained with an auxiliary task. Set primary.auxiliary instead."
                )
            if training.model is not None:
                raise ValueError(f"{name}.model: must be none, got '{training.model}'. Set primary.model instead.")
        if self.primary.model is not None and self.warm_start is not None:
            raise ValueError(
                f"warm_start: must be none where primary.model is set, got '{self.warm_start}'. Remove one of them."
            )
        return self

    def span_of(self, source: SourceParameters) -> int | None:
        """The span that a source's head is trained on; None is the newest."""
        return self.data.span if source.span is None else source.span

    @property
    def dataset(self) -> Path:
        """Absolute path of the prepared dataset."""
        return Path(self.data.dataset).expanduser().absolute()

    @property
    def root(self) -> Path:
        """Absolute path of the output root."""
        return Path(self.output_root).expanduser().absolute()

    @property
    def serving_base(self) -> Path:
        """Base directory of the pushed versions."""
        return self.root / "serving" / DEFAULT_MODEL_NAME

    @property
    def metadata_path(self) -> Path:
        """The SQLite metadata store; nothing lies there where `metadata.kind` is a server."""
        return self.root / "metadata" / "metadata.sqlite"

    def to_yaml(self) -> str:
        """Returns the whole configuration, defaults included, as YAML."""
        return write_yaml(self.model_dump(mode="json"))

    def given(self) -> dict[str, Any]:
        """Returns what was given, without defaults, as plain values that `validate_config` takes."""
        return self.model_dump(mode="json", exclude_unset=True)


def load_config(path: Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Reads and validates a configuration file.

    Args:
        path: YAML file.
        overrides: "dotted.key=value" each, as `apply_override` takes it.

    Returns:
        The configuration.

    Raises:
        ConfigurationError: if the file cannot be read, or anything in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{path}: cannot be read: {reason}.") from error
    try:
        values = read_yaml(text)
    except YamlTextError as error:
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in _problems(error))) from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: must hold a mapping of keys to values, found {type(values).__name__}.")
    for override in overrides:
        apply_override(values, override)
    return validate_config(values, str(path))


def validate_config(values: Mapping[str, Any], origin: str) -> PipelineConfig:
    """Validates a configuration that was read already.

    Args:
        values: the mapping.
        origin: named in messages.

    Raises:
        ConfigurationError: with a line for each problem.
    """
    return validated(PipelineConfig, values, f"{origin}: ")


def validated(model: type[ParametersType], values: Mapping[str, Any], prefix: str = "") -> ParametersType:
    """Makes parameters of any class from plain values.

    Args:
        model: the parameter class.
        values: by field name.
        prefix: begins each line of a message.

    Raises:
        ConfigurationError: with a line for each problem: field, rule, value received, fix.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [f"{prefix}{sentence(problem, model)}" for problem in error.errors(include_url=False)]
        raise ConfigurationError("\n".join(lines)) from error


def sources_by_span(config: PipelineConfig) -> dict[int | None, list[str]]:
    """Groups the sources by the span that their heads are trained on; `data.span` always comes first."""
    groups: dict[int | None, list[str]] = {config.data.span: []}
    for source in config.sources:
        groups.setdefault(config.span_of(source), []).append(source.name)
    return groups


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets one dotted key in place.

    Args:
        values: the mapping of a configuration.
        override: "dotted.key=value"; the value as `pipeline.config.yaml_text.read_value` takes it.

    Raises:
        ConfigurationError: if it has another form, or the value begins as a list or mapping and is none.
    """
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigurationError(f"overrides: {override}: must have the form dotted.key=value, e.g. primary.epochs=20.")
    *parents, last = key.split(".")
    target = values
    for parent in parents:
        if target.get(parent) is None:
            target[parent] = {}
        target = target[parent]
        if not isinstance(target, dict):
            raise ConfigurationError(
                f"overrides: {override}: '{parent}' is not a mapping, so '{last}' cannot be set in it."
            )
    try:
        target[last] = read_value(text)
    except YamlTextError as error:
        raise ConfigurationError(f"overrides: {override}: the value {error}") from error


def _problems(error: YamlTextError) -> list[str]:
    """Returns one problem for each key that stands twice; a message of PyYAML, which has several lines, is one."""
    text = str(error)
    return [text] if text.startswith("is not YAML") else text.splitlines()
