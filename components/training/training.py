"""One training, as all functions from the splits down to the loop take it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import keras

from components.features.parameters import InputParameters
from components.training.checkpoints import Checkpoint
from components.training.examples import Split
from components.training.learners import LearnerPool
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas


@dataclass(frozen=True)
class Training:
    """What a training learns from, with which parameters, and where it runs, starts and keeps its files.

    Attributes:
        splits: Images by split: "train" and "eval"; "eval" and any further split are scored.
        inputs: Representation and size that the primary module, or the baseline, reads.
        parameters: Parameters of the training.
        start: Trained model whose weights are the initial ones; None starts from random weights.
        logs: Directory for TensorBoard; None writes none.
        checkpoint: State after each epoch; None keeps none.
        scratch: Directory for temporary files; None is the system's.
        replicas: Devices that train together.
        learners: Pool of learners that trainings of one process share, so that TensorFlow traces their functions once;
            used on a single device only. None makes a learner for this training.
    """

    splits: Mapping[str, Split]
    inputs: InputParameters
    parameters: TrainingParameters
    start: keras.Model | None = None
    logs: Path | None = None
    checkpoint: Checkpoint | None = None
    scratch: Path | None = None
    replicas: Replicas = field(default_factory=Replicas)
    learners: LearnerPool | None = None
