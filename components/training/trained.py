"""What a training gives: a model, its history, and its scores on images that it did not see."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from components.metrics.calibration import Calibration
from components.metrics.operating_point import OperatingPoint
from components.models.distances import SourceDistance
from components.training.history import History


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split.

    Attributes:
        labels: int32 (count,): 0 or 1; for a softmax the index of the class.
        scores: float32 (count,): 0..1; for a softmax (count, classes).
        sources: str (count,).
        paths: str (count,).
    """

    labels: np.ndarray
    scores: np.ndarray
    sources: np.ndarray
    paths: np.ndarray


@dataclass(frozen=True)
class TrainedModule:
    """A trained model with all that later steps ask of it.

    Attributes:
        model: the Keras model: one sigmoid output, or a softmax.
        operating_point: threshold, and how it was chosen.
        history: of the training.
        scores: split name -> scores, in the order of the split.
        seconds: duration of the training, feature extraction and earlier attempts that were taken up included.
        classes: names of the softmax's outputs; empty for a sigmoid.
        images_left_out: split name -> images of none of the classes.
        calibration: what was done to the logits, the weights and scores included; None for a softmax, or where it was
            not asked for.
        distance: of a head that refuses images too far from its source's; else None.
    """

    model: keras.Model
    operating_point: OperatingPoint
    history: History
    scores: Mapping[str, SplitScores]
    seconds: float
    classes: tuple[str, ...] = ()
    images_left_out: Mapping[str, int] = field(default_factory=dict)
    calibration: Calibration | None = None
    distance: SourceDistance | None = None
