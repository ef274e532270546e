"""From inputs and targets to a trained module: what all kinds of training have in common."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np

from components.metrics.calibration import Calibration, fit_calibration
from components.metrics.operating_point import OperatingPoint, choose_threshold
from components.training.checkpoints import Checkpoint
from components.training.examples import Split
from components.training.inputs import ModelInputs, SelectedInputs
from components.training.learners import LearnerPool
from components.training.loop import LabelledInputs, Learner, logits_of, scores, train
from components.training.parameters import TrainingParameters
from components.training.sampling import class_weights
from components.training.strategies import Replicas, synchronise_batch_normalisation
from components.training.trained import SplitScores, TrainedModule

# A softmax has no threshold: its answer is the most probable class.
_ARGMAX = OperatingPoint(0.0, "argmax", "the most probable class")


@dataclass(frozen=True)
class FittingOptions:
    """Where a training runs, what it starts from, and where it keeps its files; nothing of it changes what is learnt.

    Attributes:
        start: a trained model whose weights are started from; None starts from random ones.
        logs: folder for TensorBoard; None writes none.
        checkpoint: where the state is kept after each epoch; None keeps none.
        scratch: folder for temporary files; None is the system's.
        replicas: the devices that train together.
        learners: where learners of earlier trainings are found and this one's is left, so that TensorFlow traces its
            functions once a process; of use on one device alone. None makes a learner for this training.
    """

    start: keras.Model | None = None
    logs: Path | None = None
    checkpoint: Checkpoint | None = None
    scratch: Path | None = None
    replicas: Replicas = field(default_factory=Replicas)
    learners: LearnerPool | None = None


def fit_module(
    name: str,
    build: Callable[[], keras.Model],
    splits: Mapping[str, Split],
    inputs: Mapping[str, ModelInputs],
    targets: Mapping[str, np.ndarray],
    parameters: TrainingParameters,
    options: FittingOptions,
    classes: tuple[str, ...] = (),
) -> TrainedModule:
    """Trains a module and scores the splits that it did not see.

    Args:
        name: of what is trained, for progress reports.
        build: makes the untrained model, always with the same weights.
        splits: "train" and "eval"; "eval" and any further split are scored.
        inputs: of each split.
        targets: of each split, int32 (count,): 0 or 1; for a softmax the index of the class.
        parameters: of the training.
        options: where it runs, starts from and keeps its files.
        classes: names of the softmax's outputs; empty for one sigmoid output.

    Returns:
        The trained module.

    Raises:
        ValueError: if the model to start from is of another architecture.
        FloatingPointError: if the loss stops being a finite number.
    """
    started = time.monotonic()
    keras.utils.set_random_seed(parameters.seed)
    model = build()
    if options.start is not None:
        start_from(model, options.start)
    weights = {split: class_weights(of_split, parameters.class_weights) for split, of_split in targets.items()}
    if parameters.sampling != "shuffled":  # batches are balanced already
        weights["train"] = np.ones_like(weights["train"])
    labelled = {
        split: in_order_of_paths(
            splits[split], LabelledInputs(inputs[split], targets[split], weights[split], splits[split].sources)
        )
        for split in ("train", "eval")
    }
    with options.replicas.scope():
        distributed = build() if options.replicas.strategy else model
        distributed.set_weights(model.get_weights())
    synchronise_batch_normalisation(distributed, options.replicas.count > 1)
    with _learner(options, model, parameters) as learner:
        history = train(
            distributed, labelled["train"], labelled["eval"], parameters, name,
            options.logs, options.replicas, options.checkpoint, learner,
        )  # fmt: skip
        # A model without the strategy's variables: what is saved and served knows nothing of how it was trained.
        model.set_weights(distributed.get_weights())
        calibration = None if classes or parameters.calibration == "none" else _calibrate(
            model, labelled["eval"], parameters, learner
        )  # fmt: skip
        score = learner.scores if learner else partial(scores, model, batch_size=parameters.batch_size)
        scored = {
            split: SplitScores(targets[split], score(inputs[split]), of_split.sources, of_split.paths)
            for split, of_split in splits.items()
            if split != "train"
        }
    rule = parameters.operating_point
    point = _ARGMAX if classes else choose_threshold(
        scored["eval"].labels, scored["eval"].scores, rule.rule, rule.value
    )  # fmt: skip
    # Epochs that ran before an interruption took their time as well.
    seconds = max(time.monotonic() - started, sum(history.seconds))
    return TrainedModule(model, point, history, scored, seconds, classes, calibration=calibration)


def _calibrate(
    model: keras.Model, validation: LabelledInputs, parameters: TrainingParameters, learner: Learner | None
) -> Calibration:
    """Fits scale and shift of the logit on the eval split, and puts them into the weights of the last layer."""
    found = learner.logits_of(validation) if learner else logits_of(model, validation.inputs, parameters.batch_size)
    calibration = fit_calibration(validation.targets, found[:, 0])
    decision = model.layers[-1]
    kernel, bias = decision.get_weights()
    decision.set_weights([kernel * calibration.scale, bias * calibration.scale + calibration.shift])
    if learner:
        learner.model.set_weights(model.get_weights())
    return calibration


def _learner(
    options: FittingOptions, model: keras.Model, parameters: TrainingParameters
) -> contextlib.AbstractContextManager[Learner | None]:
    """Returns the context in which a learner of the pool is this training's own."""
    if options.learners is None or options.replicas.strategy is not None:
        return contextlib.nullcontext()
    return options.learners.borrow(model, parameters)


def in_order_of_paths(split: Split, labelled: LabelledInputs) -> LabelledInputs:
    """Counts the images of a split by their paths, so that what is learnt does not depend on the order of its files."""
    order = np.argsort(split.paths, kind="stable")
    sources = None if labelled.sources is None else labelled.sources[order]
    return LabelledInputs(
        SelectedInputs(labelled.inputs, order), labelled.targets[order], labelled.weights[order], sources
    )


def start_from(model: keras.Model, trained: keras.Model) -> None:
    """Sets the weights of an earlier model; the optimizer of that training is not taken over.

    Args:
        model: the untrained model.
        trained: a model of the same layers.

    Raises:
        ValueError: if the layers' names or shapes differ; the message says which.
    """
    ours, theirs = _shapes(model), _shapes(trained)
    differing = [
        f"{name}: {ours.get(name, 'absent')} here, {theirs.get(name, 'absent')} there"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        raise ValueError(
            f"warm_start: must be a model of the same architecture and input; {len(differing)} weights differ: "
            f"{'; '.join(differing[:5])}{' ...' if len(differing) > 5 else ''}. Choose another model, or none."
        )
    model.set_weights(trained.get_weights())


def require_classes(split: Split, targets: np.ndarray, classes: Sequence[str]) -> None:
    """Refuses a split in which a class is missing.

    Raises:
        ValueError: naming split and class.
    """
    for number, name in enumerate(classes):
        if not np.any(targets == number):
            raise ValueError(f"split '{split.name}': holds no image of {name}; a classifier needs both classes.")


def _shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {f"{layer.name}/{weight.name}": tuple(weight.shape) for layer in model.layers for weight in layer.weights}
