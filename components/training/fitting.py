"""From inputs and targets to a trained module: the part that all kinds of training have in common."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from components.metrics.calibration import Calibration, fit_calibration
from components.metrics.operating_point import OperatingPoint, choose_threshold
from components.training.calibration_copies import COPIES
from components.training.examples import Split
from components.training.inputs import LabelledInputs, ModelInputs, SelectedInputs
from components.training.learners import AuxiliaryTask, Learner
from components.training.loop import train
from components.training.sampling import class_weights
from components.training.strategies import synchronise_batch_normalisation
from components.training.trained import SplitScores, TrainedModule
from components.training.training import Training
from components.training.whitening import fit_whitening

# A softmax has no threshold: its answer is the most probable class.
_ARGMAX = OperatingPoint(0.0, "argmax", "the most probable class")


@dataclass(frozen=True)
class UntrainedModule:
    """A module before its training.

    Attributes:
        name: Name in progress reports.
        build: Function that builds the model, always with the same weights.
        classes: Names of the softmax's outputs; empty for one sigmoid output.
        auxiliary_layers: Names of the layers that an auxiliary task reads; empty for a module that has none.
    """

    name: str
    build: Callable[[], keras.Model]
    classes: tuple[str, ...] = ()
    auxiliary_layers: tuple[str, ...] = ()


def fit_module(
    training: Training,
    module: UntrainedModule,
    inputs: Mapping[str, ModelInputs],
    targets: Mapping[str, np.ndarray],
) -> TrainedModule:
    """Train a module and score the splits that it did not learn from.

    Args:
        training: Splits, parameters, devices and files. Calibration is fitted on the eval split, and on the split
            `calibration_copies.COPIES` where there is one.
        module: Module to train.
        inputs: Inputs of the model, by split.
        targets: int32 (count,) by split: 0 or 1; for a softmax the index of the class.

    Returns:
        The trained module.

    Raises:
        ValueError: if the model to start from is of another architecture.
        FloatingPointError: if the loss stops being a finite number.
    """
    started = time.monotonic()
    parameters, splits = training.parameters, training.splits
    keras.utils.set_random_seed(parameters.seed)
    model = module.build()
    if training.start is not None:
        start_from(model, training.start)
    weights = {split: class_weights(of_split, parameters.class_weights) for split, of_split in targets.items()}
    if parameters.sampling != "shuffled":  # batches are balanced already
        weights["train"] = np.ones_like(weights["train"])
    labelled = {
        split: in_order_of_paths(
            splits[split], LabelledInputs(inputs[split], targets[split], weights[split], splits[split].sources)
        )
        for split in ("train", "eval", COPIES)
        if split in splits
    }
    if training.start is None:
        fit_whitening(model, labelled["train"], parameters)
    with _learner(training, module, model) as learner:
        history = train(learner, labelled["train"], labelled["eval"], module.name, training.logs, training.checkpoint)
        # A model without the strategy's variables: what is saved and served knows nothing of how it was trained.
        scorer = learner if training.replicas.strategy is None else Learner(model, parameters)
        scorer.model.set_weights(learner.model.get_weights())
        calibrates = not module.classes and parameters.calibration == "platt"
        calibration = _calibrate(scorer, labelled["eval"], labelled.get(COPIES)) if calibrates else None
        model.set_weights(scorer.model.get_weights())
        scored = {
            split: SplitScores(targets[split], scorer.scores(inputs[split]), of_split.sources, of_split.paths)
            for split, of_split in splits.items()
            if split not in ("train", COPIES)
        }
    rule = parameters.operating_point
    point = _ARGMAX if module.classes else choose_threshold(
        scored["eval"].labels, scored["eval"].scores, rule.rule, rule.value
    )  # fmt: skip
    # Epochs that ran before an interruption took their time as well.
    seconds = max(time.monotonic() - started, sum(history.seconds))
    return TrainedModule(model, point, history, scored, seconds, module.classes, calibration=calibration)


@contextlib.contextmanager
def _learner(training: Training, module: UntrainedModule, model: keras.Model) -> Iterator[Learner]:
    """Open the context in which a learner with the weights of a model belongs to this training alone."""
    parameters, replicas = training.parameters, training.replicas
    task = (
        AuxiliaryTask(module.auxiliary_layers, training.splits["train"].source_names)
        if module.auxiliary_layers
        else None
    )
    if training.learners is not None and replicas.strategy is None and task is None:
        with training.learners.borrow(model, parameters) as learner:
            yield learner
        return
    with replicas.scope():
        distributed = module.build() if replicas.strategy else model
        distributed.set_weights(model.get_weights())
    synchronise_batch_normalisation(distributed, replicas.count > 1)
    yield Learner(distributed, parameters, replicas, task)


def _calibrate(learner: Learner, validation: LabelledInputs, copies: LabelledInputs | None) -> Calibration:
    """Fit scale and shift of the logit on the eval split and its copies, and apply them to the last layer."""
    parts = [validation] if copies is None else [validation, copies]
    targets = np.concatenate([part.targets for part in parts])
    logits = np.concatenate([learner.logits_of(part)[:, 0] for part in parts])
    calibration = fit_calibration(targets, logits, copies=len(targets) // len(validation.targets) - 1)
    decision = learner.model.layers[-1]
    kernel, bias = decision.get_weights()
    decision.set_weights([kernel * calibration.scale, bias * calibration.scale + calibration.shift])
    return calibration


def in_order_of_paths(split: Split, labelled: LabelledInputs) -> LabelledInputs:
    """Sort the images of a split by their paths, so that training does not depend on the order of its files."""
    order = np.argsort(split.paths, kind="stable")
    sources = None if labelled.sources is None else labelled.sources[order]
    return LabelledInputs(
        SelectedInputs(labelled.inputs, order), labelled.targets[order], labelled.weights[order], sources
    )


def start_from(model: keras.Model, trained: keras.Model) -> None:
    """Set the weights of an earlier model; the state of its optimizer is not used.

    Args:
        model: Untrained model.
        trained: Trained model with the same layers.

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


def _shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    return {f"{layer.name}/{weight.name}": tuple(weight.shape) for layer in model.layers for weight in layer.weights}
