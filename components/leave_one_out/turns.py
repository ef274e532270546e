"""Every source takes its turn as the unknown generator: do heads that never saw it take its images for their own?

In a turn the heads of all other sources are trained anew, on the same frozen middle features, without any image of the
left-out source: it is neither among their negatives nor in the eval split that ends their training. The primary module
is not trained anew, and has seen the left-out source as fake. What is measured is the heads alone: whether they mistake
an unknown generator's image for one of theirs, not whether the primary module would have called it fake.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.features.parameters import InputParameters
from components.leave_one_out.scores import acceptance_scores, fit_reference
from components.metrics.open_set_turns import OpenSetEvaluation, OpenSetTurn
from components.training.examples import Split
from components.training.fitting import FittingOptions
from components.training.head_reader import HeadReader
from components.training.inputs import MemoryBudget, allocate
from components.training.middle_features import MiddleFeatures
from components.training.modules import train_head
from components.training.parameters import TrainingParameters

_COPIED_AT_ONCE = 256
_LEARNT_FROM = ("train", "eval")

_logger = logging.getLogger(__name__)


def leave_one_out(
    sources: Sequence[str],
    features: MiddleFeatures,
    splits: Mapping[str, Split],
    scored: str,
    inputs: InputParameters,
    training: TrainingParameters,
    level: AttributionLevel = "instance",
    options: FittingOptions | None = None,
) -> OpenSetEvaluation:
    """Trains heads for every turn and scores images of known and unknown sources with them.

    With n sources n * (n - 1) heads are trained.

    Args:
        sources: names of the sources, or architectures, that take turns; at least two, all in the train split.
        features: of the trained primary module, for every split.
        splits: "train", "eval" and the scored one, each in the order of its features.
        scored: the split whose images are scored: all of `sources`, no other; a source may have none there.
        inputs: representation and size that the primary module reads.
        training: of each head.
        level: what `sources` names: sources, "instance", or generator architectures.
        options: where heads are trained; give its `learners`, since all heads are alike.

    Returns:
        A turn for each source, in their order.

    Raises:
        ValueError: if there are fewer than two sources, the train split lacks one, or the scored split all.
    """
    if len(set(sources)) < 2 or len(set(sources)) < len(sources):
        raise ValueError(f"sources: must be at least two, each once, got {', '.join(sources) or 'none'}.")
    options = options or FittingOptions()
    groups = {name: _groups(split, level) for name, split in splits.items()}
    rows = np.flatnonzero(np.isin(groups[scored], list(sources)))
    if not rows.size:
        raise ValueError(f"split '{scored}': holds no image of {', '.join(sources)}; there is nothing to score.")
    reader: HeadReader | None = None
    turns = []
    for number, left_out in enumerate(sources):
        known = [source for source in sources if source != left_out]
        _logger.info("turn %d of %d: heads of %s without '%s'", number + 1, len(sources), ", ".join(known), left_out)
        kept = {name: groups[name] != left_out for name in _LEARNT_FROM}
        budget = MemoryBudget(training.memory_budget_mb)
        kept_splits = {name: chosen_images(splits[name], kept[name]) for name in _LEARNT_FROM}
        kept_features = {
            name: _chosen_features(features[name], kept[name], budget, options.scratch) for name in _LEARNT_FROM
        }
        logits, last, references = [], [], []
        for source in known:
            head = train_head(source, kept_features, kept_splits, inputs, training, level, options).model
            reader = reader or HeadReader(head)
            own = {name: np.flatnonzero(groups[name] == source) for name in _LEARNT_FROM}
            learnt = reader.read(head, features["train"], own["train"])
            # Thresholds of heads are set on the eval split too; one without images there has its training images alone.
            held_out = reader.read(head, features["eval"], own["eval"]) if own["eval"].size else learnt
            references.append(fit_reference(learnt.features, held_out.logits, held_out.features))
            answers = reader.read(head, features[scored], rows)
            logits.append(answers.logits)
            last.append(answers.features)
        of_heads = np.stack(logits, axis=1)
        turns.append(
            OpenSetTurn(
                left_out,
                groups[scored][rows],
                splits[scored].paths[rows],
                np.array(known)[of_heads.argmax(axis=1)],
                acceptance_scores(of_heads, np.stack(last, axis=1), references),
            )
        )
    return OpenSetEvaluation(scored, turns)


def chosen_images(split: Split, chosen: np.ndarray) -> Split:
    """Returns some of the images of a split; their encoded bytes do not come along.

    Args:
        split: any split.
        chosen: booleans (count,).
    """
    return dataclasses.replace(
        split, labels=split.labels[chosen], sources=split.sources[chosen], paths=split.paths[chosen], images=None
    )


def _chosen_features(features: np.ndarray, chosen: np.ndarray, budget: MemoryBudget, folder: Path | None) -> np.ndarray:
    """Copies the features of some images: in memory where the budget has room, else into a temporary file."""
    rows = np.flatnonzero(chosen)
    copy = allocate((len(rows), *features.shape[1:]), budget, folder)
    for start in range(0, len(rows), _COPIED_AT_ONCE):
        copy[start : start + _COPIED_AT_ONCE] = features[rows[start : start + _COPIED_AT_ONCE]]
    copy.flags.writeable = False
    return copy


def _groups(split: Split, level: AttributionLevel) -> np.ndarray:
    return np.array([group_of(source, level) for source in split.sources.tolist()], str)
