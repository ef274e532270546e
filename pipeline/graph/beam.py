"""Options of the data-parallel nodes: one set for all, another for single nodes or kinds of them."""

from collections.abc import Iterable, Sequence

from tfx.dsl.components.base import base_beam_component, base_component

from pipeline.config.nodes import kind_of
from pipeline.config.schema import PipelineConfig
from pipeline.graph.selection import require_nodes

_IN_PROCESS_RUNNERS = ("--runner=FnApiRunner", "--runner=DirectRunner")


def set_beam_arguments(config: PipelineConfig, nodes: Iterable[base_component.BaseComponent]) -> None:
    """Gives every data-parallel node its options; those that name one node win over those that name its kind."""
    parallel = [node for node in nodes if isinstance(node, base_beam_component.BaseBeamComponent)]
    chosen = config.beam_pipeline_args_of
    require_nodes("beam_pipeline_args_of", chosen, [node.id for node in parallel])
    for node in parallel:
        given = chosen.get(node.id, chosen.get(kind_of(node.id), config.beam_pipeline_args))
        node.with_beam_pipeline_args(_beam_arguments(given))


def _beam_arguments(given: Sequence[str]) -> list[str]:
    """Returns the options of Beam steps.

    Unless told which image remote workers run, TFX packages itself anew in every Beam step, for a second or two. An
    in-process runner has no remote workers, so naming an image that nobody pulls spares it that.
    """
    arguments = list(given)
    in_process = any(argument in _IN_PROCESS_RUNNERS for argument in arguments)
    if in_process and not any(argument.startswith("--sdk_container_image") for argument in arguments):
        arguments.append("--sdk_container_image=none")
    return arguments
