"""Augmented copies of the eval split, on which calibration is fitted beside the images themselves.

A model is surer of an image as it came from the generator than of the same image after a web site saved it again.
Fitted on the former alone, its probabilities promise too much of the latter. The copies are drawn with the augmentation
that the training itself uses, but are whole images: windows of the model's own size, which is what evaluation and
serving judge. (An image that is as small as the model is therefore never scaled down; a larger one is.)

The copies form a split of their own, which is neither trained on nor scored.
"""

import dataclasses

import numpy as np

from components.training.parameters import TrainingParameters
from components.training.training import Training

COPIES = "calibration"


def calibration_copies_of(parameters: TrainingParameters) -> int:
    """Return how many copies of each image of the eval split a calibration is fitted on, beside the image."""
    used = parameters.augmentation.changes_images and parameters.calibration == "platt"
    return parameters.calibration_copies if used else 0


def with_calibration_copies(training: Training) -> Training:
    """Return a training with a split of copies: all images of the eval split once, then once more, and so on."""
    copies = calibration_copies_of(training.parameters)
    if not copies or COPIES in training.splits:
        return training
    split = training.splits["eval"]
    rows = np.tile(np.arange(split.count), copies)
    named = dataclasses.replace(split.select(rows), name=COPIES)
    return dataclasses.replace(training, splits={**training.splits, COPIES: named})


def of_whole_images(parameters: TrainingParameters) -> TrainingParameters:
    """Return the parameters with an augmentation that makes windows of the model's own size."""
    augmentation = parameters.augmentation.model_copy(update={"window": None})
    return parameters.model_copy(update={"augmentation": augmentation})
