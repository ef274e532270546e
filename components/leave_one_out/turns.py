"""Every source takes its turn as the unknown generator: do heads that never saw it claim its images?

In a turn the heads of all other sources are trained again, on the same frozen middle features, without any image of the
left-out source: it is neither among their negatives nor in the eval split that ends their training. The primary module
is not trained again, and has seen the left-out source as fake. The figures are of the heads alone: whether they mistake
an unknown generator's image for one of theirs, not whether the primary module would have called it fake.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import numpy as np

from components.examples.names import AttributionLevel, group_of
from components.leave_one_out.scores import acceptance_scores, fit_reference
from components.metrics.open_set_turns import OpenSetEvaluation, OpenSetTurn
from components.training.calibration_copies import COPIES
from components.training.examples import Split
from components.training.head_reader import HeadReader
from components.training.inputs import Storage
from components.training.middle_features import MiddleFeatures
from components.training.modules import train_head
from components.training.training import Training

_COPIED_AT_ONCE = 256
_LEARNT_FROM = ("train", "eval")

_LOGGER = logging.getLogger(__name__)


def leave_one_out(
    training: Training,
    sources: Sequence[str],
    features: MiddleFeatures,
    scored: str,
    level: AttributionLevel = "instance",
) -> OpenSetEvaluation:
    """Train heads for every turn, and score images of known and unknown sources with them.

    With n sources n * (n - 1) heads are trained.

    Args:
        training: Training of each head: "train", "eval" and the scored split, each in the order of its features, and
            the parameters. Set its `learners`, since all heads are alike.
        sources: Names of the sources, or architectures, that take turns; at least two, all in the train split.
        features: Middle features of the trained primary module, for every split.
        scored: Split whose images of `sources`, and no others, are scored; it may lack some of them.
        level: Kind of name in `sources`: sources, "instance", or generator architectures.

    Returns:
        A turn for each source, in their order.

    Raises:
        ValueError: if there are fewer than two sources, the train split lacks one, or the scored split all.
    """
    if len(set(sources)) < 2 or len(set(sources)) < len(sources):
        raise ValueError(f"sources: must be at least two, each once, got {', '.join(sources) or 'none'}.")
    groups = {name: _groups(split, level) for name, split in training.splits.items()}
    rows = np.flatnonzero(np.isin(groups[scored], list(sources)))
    if not rows.size:
        raise ValueError(f"split '{scored}': holds no image of {', '.join(sources)}; there is nothing to score.")
    reader: HeadReader | None = None
    turns = []
    for number, left_out in enumerate(sources):
        known = [source for source in sources if source != left_out]
        _LOGGER.info("turn %d of %d: heads of %s without '%s'", number + 1, len(sources), ", ".join(known), left_out)
        kept_training, kept_features = _without(left_out, training, features, groups)
        logits, last, references = [], [], []
        for source in known:
            head = train_head(kept_training, source, kept_features, level).model
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
                training.splits[scored].paths[rows],
                np.array(known)[of_heads.argmax(axis=1)],
                acceptance_scores(of_heads, np.stack(last, axis=1), references),
            )
        )
    return OpenSetEvaluation(scored, turns)


def _without(
    left_out: str, training: Training, features: MiddleFeatures, groups: Mapping[str, np.ndarray]
) -> tuple[Training, MiddleFeatures]:
    """Return the training of a turn, and its features: of what heads learn from, without the left-out source."""
    storage = Storage(training.parameters.memory_budget_mb, training.scratch)
    kept = {name: groups[name] != left_out for name in (*_LEARNT_FROM, COPIES) if name in groups}
    splits = {name: training.splits[name].select(rows) for name, rows in kept.items()}
    copies = {name: _chosen_features(features[name], rows, storage) for name, rows in kept.items()}
    return dataclasses.replace(training, splits=splits), copies


def _chosen_features(features: np.ndarray, chosen: np.ndarray, storage: Storage) -> np.ndarray:
    """Copy the features of some images: into memory if it has room, else into a temporary file."""
    rows = np.flatnonzero(chosen)
    copy = storage.allocate((len(rows), *features.shape[1:]))
    for start in range(0, len(rows), _COPIED_AT_ONCE):
        copy[start : start + _COPIED_AT_ONCE] = features[rows[start : start + _COPIED_AT_ONCE]]
    copy.flags.writeable = False
    return copy


def _groups(split: Split, level: AttributionLevel) -> np.ndarray:
    return np.array([group_of(source, level) for source in split.sources.tolist()], str)
