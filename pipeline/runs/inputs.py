"""What a run reads, found once when it starts: the newest span, and the models of a warm start."""

from pathlib import Path

from pipeline.config.nodes import PRIMARY_TRAINER
from pipeline.config.paths import place_of
from pipeline.config.schema import ConfigurationError, PipelineConfig
from pipeline.metadata.lineage import newest_models
from pipeline.metadata.store import open_store
from pipeline.runs.dataset_check import require_dataset, with_resolved_span
from pipeline.runs.given import given_models, is_servable


def resolve_run(config: PipelineConfig) -> tuple[PipelineConfig, dict[str, Path]]:
    """Settles what all nodes of a run must agree on.

    Args:
        config: the validated configuration.

    Returns:
        The configuration with its span written out, and for each training node the folder of the model that it starts
        from; a source that is new starts from scratch.

    Raises:
        ConfigurationError: if the dataset, or the models of a warm start, are not there.
    """
    require_dataset(config)
    return with_resolved_span(config), _earlier_models(config)


def _earlier_models(config: PipelineConfig) -> dict[str, Path]:
    if config.primary.model is not None:
        return given_models(config, "primary.model", config.primary.model, only_primary=not config.primary.frozen)
    if config.warm_start is None:
        return {}
    if is_servable(config.warm_start):
        # Its heads are folded, which is no state to train on from; and they stand on middle features that will change.
        return given_models(config, "warm_start", config.warm_start, only_primary=True)
    earlier = config.model_copy(update={"output_root": config.warm_start})
    if earlier.root.resolve() == config.root.resolve():
        raise ConfigurationError(
            f"warm_start: must be the output root of another run, got output_root itself ({config.warm_start}). "
            "Set another output_root for this run."
        )
    models = newest_models(open_store(earlier), earlier.root)
    if PRIMARY_TRAINER not in models:
        raise ConfigurationError(
            f"warm_start: {place_of(config.warm_start)} holds no finished primary module. Name the output_root of a "
            "run that trained one, or remove warm_start."
        )
    return models
