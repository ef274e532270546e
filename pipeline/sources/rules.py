"""What a run that adds or retires one source may do: train at most one head, and push only what was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_metadata.metadata_store.metadata_store import MetadataStore
from tfx.components.util import model_utils

from components.errors import StepRefusedError
from components.pusher.push import read_lineage
from pipeline.config.nodes import ASSEMBLER, PUSHER, TRAINERS, head_trainer, kind_of
from pipeline.config.schema import PipelineConfig
from pipeline.metadata.lineage import read_run
from pipeline.sources.versions import newest_version


@dataclass(frozen=True)
class ChangeRules:
    """Rules of one change.

    Attributes:
        config: the configuration that is run.
        added: the source that gets a head; None if none does.
    """

    config: PipelineConfig
    added: str | None = None

    def before_execution(self, node: str, inputs: Mapping[str, Sequence[Any]]) -> None:
        """Stops the run before it trains what it must not train, or assembles without the head that was asked for.

        Raises:
            StepRefusedError: with what to do instead.
        """
        if kind_of(node) in TRAINERS and (self.added is None or node != head_trainer(self.added)):
            raise StepRefusedError(
                f"{node} would train again: the configuration, the images or the code are not those that what is "
                "served was trained with. Nothing was trained; what is served stays. Run genattr run CONFIG first."
            )
        if node == ASSEMBLER and self.added is not None:
            (blessing,) = inputs[f"blessing.{self.added}"]
            if not model_utils.is_model_blessed(blessing):
                raise StepRefusedError(
                    f"the head of '{self.added}' is not blessed: it missed a gate of evaluation.attribution. "
                    "Nothing is assembled; what is served stays."
                )

    def may_be_cached(self, node: str, run_id: str, store: MetadataStore) -> bool:
        """Whether a node may be served from the cache.

        A servable that was pushed before, and is not the newest any more, must be pushed again: to TFX's cache that is
        done already.
        """
        if node != PUSHER:
            return True
        records = read_run(store, self.config.name, run_id)
        assembled = records[ASSEMBLER].output("model") if ASSEMBLER in records else None
        newest = newest_version(self.config)
        lineage = read_lineage(newest.path) if newest else None
        return assembled is not None and (lineage or {}).get("model_artifact") == str(assembled.id)
