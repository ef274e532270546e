"""A generator that nothing has seen: how often it is recognised as unknown, and how few of its images make a head.

The source is left out of the primary module and of all heads. Then

    unknown recall   share of its test images that an acceptance score rejects where 5 % of the images of sources with a
                     head are rejected
    few images       ROC-AUC of a head for it that is trained on its first 20, 50, 200 or 1000 images to train on,
                     against all other sources; but for calibration, a head learns from nothing else
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.recipe_data import Image, without
from benchmarks.recipe_results import FEW, UNSEEN, Results
from benchmarks.recipe_training import FoldTraining, detection_figures

if TYPE_CHECKING:
    import keras

    from components.training.examples import Split
    from pipeline.config.schema import PipelineConfig

COUNTS = (20, 50, 200, 1000)


class UnseenTraining(FoldTraining):
    """A fold whose primary module has not seen a source; heads may learn it from a few images.

    Args:
        source: Source that is left out of the primary module.
        parts: Images of the fold, those of the source included.
        config: Configuration of the row.
        kinds: Kinds of copies that test images are judged as.
        directory: Directory of this training alone.
        seconds: CPU time of the primary module's training; None takes the schedule of the configuration.
    """

    def __init__(
        self,
        source: str,
        parts: Mapping[str, Sequence[Image]],
        config: "PipelineConfig",
        kinds: Sequence[str],
        directory: Path,
        seconds: float | None,
    ) -> None:
        super().__init__(without(parts, source), config, kinds, directory, seconds)
        self.source, self.all_parts = source, parts

    def with_source(self) -> FoldTraining:
        """Return the fold for heads that learn the source, on the same primary module."""
        learning = FoldTraining(self.all_parts, self._config, self._kinds, self._directory, self._seconds)
        # Cached attributes: neither is trained or computed a second time.
        learning.__dict__.update(primary=self.primary, tested=self.tested, tested_features=self.tested_features)
        return learning

    def figures(self, known: Sequence[str]) -> dict[str, Any]:
        """Return detection of the source's test images, and its unknown recall by kind of copy and acceptance score.

        Args:
            known: Sources with a head.
        """
        fake, test = self._ask(self.primary), self.test
        rows = (test.labels == 0) | (test.sources == self.source)
        detected = detection_figures(test.labels[rows], {kind: scores[rows] for kind, scores in fake.items()})
        heads = [self.head(source) for source in known]
        return {**detected, "unknown_recall": self._recall(known, heads), "cpu_seconds": self.cpu_seconds}

    def _recall(self, known: Sequence[str], heads: Sequence["keras.Model"]) -> dict[str, dict[str, float]]:
        from components.leave_one_out.scores import acceptance_scores, fit_reference
        from components.metrics.open_set_turns import OpenSetTurn, turn_figures
        from components.training.head_reader import HeadReader
        from components.training.middle_features import repeated

        reader, splits = HeadReader(heads[0]), repeated(self._head_training()).splits
        references = []
        for source, head in zip(known, heads, strict=True):
            own = {name: np.flatnonzero(splits[name].sources == source) for name in ("train", "eval")}
            learnt = reader.read(head, self.features["train"], own["train"])
            held_out = reader.read(head, self.features["eval"], own["eval"]) if own["eval"].size else learnt
            references.append(fit_reference(learnt.features, held_out.logits, held_out.features))
        rows = np.flatnonzero(np.isin(self.test.sources, [*known, self.source]))
        recall = {}
        for kind, features in self.tested_features.items():
            answers = [reader.read(head, features, rows) for head in heads]
            logits, last = (np.stack(parts, axis=1) for parts in zip(*answers, strict=True))
            scores = acceptance_scores(logits, last, references)
            claimed = np.array(known)[logits.argmax(axis=1)]
            turn = OpenSetTurn(self.source, self.test.sources[rows], self.test.paths[rows], claimed, scores)
            recall[kind] = {score: turn_figures([turn], score).recall for score in scores}
        return recall


def measure_unseen(training: UnseenTraining, results: Results, fold: int) -> dict[str, dict[str, Any]]:
    """Return the figures of a source that was left out, by piece; what the results hold is not measured again."""
    source = training.source
    known = sorted({image.source for image in training.all_parts["train"] if image.label} - {source})
    pieces = {f"{UNSEEN}:{source}": lambda: training.figures(known)}
    available = sum(image.source == source for image in training.all_parts["train"])
    learning: list[FoldTraining] = []

    def few(count: int) -> dict[str, Any]:
        if not learning:
            learning.append(training.with_source())
        return learning[0].head_figures(source, lambda split: _few(split, source, count))

    for count in COUNTS:
        if count <= available:
            pieces[f"{FEW}:{source}:{count}"] = lambda count=count: few(count)
    return {piece: results.get(fold, piece, compute) for piece, compute in pieces.items()}


def _few(split: "Split", source: str, count: int) -> np.ndarray:
    """Return the mask of all images of other sources, and of the first ones of a source in the train split."""
    mask = split.sources != source
    if split.name == "train":
        chosen = np.unique(split.paths[~mask])[:count]
        mask |= np.isin(split.paths, chosen)
    else:
        mask[:] = True
    return mask
