"""Trainings of benchmarks/recipes.py: primary modules that survive a kill, heads, and their answers on test images."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.recipe_data import PLAIN, Image, TestImages, inputs_of, split_of, tested_images, transform_of

if TYPE_CHECKING:
    import keras

    from components.training.examples import Split
    from pipeline.config.schema import PipelineConfig

_BATCH = 64
_TIMED_STEPS = 12
_EPOCHS = 12  # of a shortened schedule: a kill costs no more than one of them
_MODEL, _PLAN, _CHECKPOINT = "primary.keras", "schedule.json", "checkpoint"


class RowsOf:
    """Some rows of an array of features, without a copy of them.

    Args:
        features: (count, ...), may be memory-mapped.
        rows: int (chosen,).
    """

    def __init__(self, features: np.ndarray, rows: np.ndarray) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), *features.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Any) -> np.ndarray:
        return self._features[self._rows[chosen]]


class FoldTraining:
    """Models of one fold, each trained when it is first asked for.

    Args:
        parts: Images to train on, to calibrate on and to test on: "train", "eval", "test".
        config: Configuration of the row.
        kinds: Kinds of copies that test images are judged as.
        directory: Directory of this training alone, for the state of the primary module and the module itself.
        seconds: CPU time of the primary module's training; None takes the schedule of the configuration.
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[Image]],
        config: "PipelineConfig",
        kinds: Sequence[str],
        directory: Path,
        seconds: float | None = None,
    ) -> None:
        self.parts, self._config, self._kinds = parts, config, kinds
        self._directory, self._seconds = directory, seconds
        self.splits = {name: split_of(name, parts[name]) for name in ("train", "eval")}
        self._transform = transform_of(self.splits["train"], config.input)

    @cached_property
    def tested(self) -> dict[str, TestImages]:
        """Test images as they are and as copies of each kind."""
        return tested_images(self.parts["test"], self._kinds, self._config.input)

    @property
    def test(self) -> "Split":
        """Test images as they are."""
        return self.tested[PLAIN].split

    @cached_property
    def primary(self) -> "keras.Model":
        """The primary module: trained, taken up where a kill left it, or read."""
        import keras

        from components.training.checkpoints import Checkpoint
        from components.training.modules import train_primary
        from components.training.progress import watched_epochs
        from components.training.training import Training

        path = self._directory / _MODEL
        if path.exists():
            return keras.models.load_model(path, compile=False, safe_mode=True)
        checkpoint = Checkpoint(self._directory / _CHECKPOINT)
        parameters = self._config.primary.model_copy(update=self._schedule())
        training = Training(self.splits, self._config.input, parameters, checkpoint=checkpoint)
        # Counted on after a kill, up to the last epoch that was finished before it.
        spent, started = self.cpu_seconds, time.process_time()
        with watched_epochs(lambda _: self._note(cpu_seconds=spent + time.process_time() - started)):
            trained = train_primary(training, self._transform)
        trained.model.save(path)
        checkpoint.remove()
        return trained.model

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the epochs of the primary module."""
        return float(self._plan().get("cpu_seconds", 0.0))

    def primary_figures(self) -> dict[str, Any]:
        """Return the figures of detection, by kind of copy, and the probabilities of the images as they are."""
        labels, fake = self.test.labels, self._ask(self.primary)
        return {
            **detection_figures(labels, fake),
            "labels": labels.tolist(),
            "fake": [float(f"{one:.6g}") for one in fake[PLAIN].tolist()],
            "schedule": self._schedule(),
            "cpu_seconds": self.cpu_seconds,
        }

    @cached_property
    def features(self) -> Mapping[str, np.ndarray]:
        """Middle features of what heads learn from: of copies of the train split, of the eval split and its copies."""
        from components.training.middle_features import extract_middle_features

        return extract_middle_features(self.primary, self._head_training(), self._transform)

    @cached_property
    def tested_features(self) -> dict[str, np.ndarray]:
        """Middle features of the test images, by kind of copy."""
        import keras

        from components.models.primary import MIDDLE_LAYER

        middle = keras.Model(self.primary.input, self.primary.get_layer(MIDDLE_LAYER).output)
        return self._ask(middle)

    def head(self, source: str, chosen: Callable[["Split"], np.ndarray] | None = None) -> "keras.Model":
        """Train a head.

        Args:
            source: Source of the head.
            chosen: Function from a split to a mask of the images to use, bool (count,), for what a head learns from;
                None uses all.
        """
        import dataclasses

        from components.training.learners import process_learners
        from components.training.middle_features import repeated
        from components.training.modules import train_head

        training = repeated(self._head_training())
        features: dict[str, Any] = dict(self.features)
        if chosen:
            masks = {name: chosen(split) for name, split in training.splits.items()}
            features = {name: RowsOf(features[name], np.flatnonzero(mask)) for name, mask in masks.items()}
            splits = {name: training.splits[name].select(mask) for name, mask in masks.items()}
            training = dataclasses.replace(training, splits=splits)
        training = dataclasses.replace(training, learners=process_learners())
        return train_head(training, source, features, self._config.attribution_level).model

    def head_figures(self, source: str, chosen: Callable[["Split"], np.ndarray] | None = None) -> dict[str, Any]:
        """Train a head as `head` does; return its ROC-AUC by kind of copy."""
        from components.metrics.scores import roc_auc

        started = time.process_time()
        head = _of_any_size(self.head(source, chosen))
        seconds, is_source = time.process_time() - started, self.test.sources == source
        areas = {
            kind: roc_auc(is_source, _in_batches(head, features)[:, 0])
            for kind, features in self.tested_features.items()
        }
        return {"roc_auc": areas, "cpu_seconds": seconds}

    def turns(self, sources: Sequence[str]) -> dict[str, Any]:
        """Return the unknown recall by acceptance score, every source taking its turn; the primary module saw all."""
        import dataclasses

        from components.leave_one_out.turns import leave_one_out
        from components.metrics.open_set_turns import turn_figures
        from components.training.learners import process_learners
        from components.training.middle_features import repeated

        training = repeated(self._head_training())
        training = dataclasses.replace(
            training, splits={**training.splits, "test": self.test}, learners=process_learners()
        )
        features = {**self.features, "test": self.tested_features[PLAIN]}
        turns = leave_one_out(training, sources, features, "test").turns
        return {"recall": {score: turn_figures(turns, score).recall for score in turns[0].scores}}

    def _head_training(self) -> Any:
        from components.training.training import Training

        return Training(self.splits, self._config.input, self._config.secondary)

    def _ask(self, model: "keras.Model") -> dict[str, np.ndarray]:
        """Return what a model says of the test images, by kind of copy: (count, ...); (count,) of one output."""
        answers = {}
        for kind, tested in self.tested.items():
            asked = model if tested.size == self._config.input.size else _of_any_size(model)
            parts = []
            for start in range(0, tested.split.count, _BATCH):
                rows = np.arange(start, min(start + _BATCH, tested.split.count))
                inputs = inputs_of(tested, self._transform, self._config.input, rows)
                parts.append(asked(inputs, training=False).numpy())
            found = np.concatenate(parts)
            answers[kind] = found[:, 0] if found.ndim == 2 else found
        return answers

    def _schedule(self) -> dict[str, int]:
        """Return epochs and passes: those of the configuration, or those that the CPU time allows, measured once."""
        if self._seconds is None:
            return {"epochs": self._config.primary.epochs, "passes": self._config.primary.passes}
        plan = self._plan()
        if "epochs" not in plan:
            passes = max(1, round(self._seconds / self._seconds_per_pass()))
            per_epoch = max(1, passes // _EPOCHS)
            self._note(epochs=max(1, round(passes / per_epoch)), passes=per_epoch)
            plan = self._plan()
        return {"epochs": plan["epochs"], "passes": plan["passes"]}

    def _seconds_per_pass(self) -> float:
        """Measure steps on a few images; decoding and augmentation, on other threads, count as well."""
        import dataclasses

        from components.models.primary import LAST_LAYER, MIDDLE_LAYER, build_primary
        from components.training.inputs import LabelledInputs
        from components.training.learners import AuxiliaryTask, Learner
        from components.training.modules import inputs_of_images
        from components.training.training import Training

        config, split = self._config, self.splits["train"]
        parameters = config.primary.model_copy(update={"passes": 1, "schedule": "constant", "sampling": "shuffled",
                                                       "sampling_power": 0.0})  # fmt: skip
        count = min(split.count, _TIMED_STEPS * parameters.batch_size)
        rows = np.random.default_rng(0).permutation(split.count)[:count]
        images = split_of("few", [self.parts["train"][row] for row in rows]).images
        few = dataclasses.replace(split.select(rows), images=images)
        model = build_primary(config.input.shape, config.input.pooled, parameters.layers, parameters.seed)
        task = AuxiliaryTask((MIDDLE_LAYER, LAST_LAYER), split.source_names)
        learner = Learner(model, parameters, task=task)
        inputs = inputs_of_images(Training({"train": few}, config.input, parameters), self._transform)["train"]
        labelled = LabelledInputs(inputs, few.labels, np.ones(count, np.float32), few.sources)
        learner.run_epoch(labelled, 0)  # traces, and fills caches
        started = time.process_time()
        learner.run_epoch(labelled, 1)
        return (time.process_time() - started) * split.count / count

    def _plan(self) -> dict[str, Any]:
        path = self._directory / _PLAN
        return json.loads(path.read_text()) if path.exists() else {}

    def _note(self, **values: float) -> None:
        from serving import atomic

        self._directory.mkdir(parents=True, exist_ok=True)
        content = json.dumps({**self._plan(), **values})
        with atomic.replace_file(self._directory / _PLAN, sole_writer=True) as temporary:
            temporary.write_text(content)


def detection_figures(labels: np.ndarray, fake: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return ROC-AUC, true-positive rate at 5 % false positives and ECE, each by kind of copy."""
    from components.metrics import scores as metrics

    return {
        "roc_auc": {kind: metrics.roc_auc(labels, scores) for kind, scores in fake.items()},
        "tpr_at_5_fpr": {kind: metrics.tpr_at_fpr(labels, scores, 0.05) for kind, scores in fake.items()},
        "ece": {kind: metrics.expected_calibration_error(labels, scores) for kind, scores in fake.items()},
    }


def _of_any_size(model: "keras.Model") -> "keras.Model":
    """Return a view for other sizes; a model whose weights are tied to places is its own."""
    import keras

    from components.models.any_size import of_any_size

    tied = any(isinstance(layer, keras.layers.Flatten) for layer in model.layers)
    return model if tied else of_any_size(model)


def _in_batches(model: "keras.Model", inputs: np.ndarray) -> np.ndarray:
    starts = range(0, len(inputs), _BATCH)
    return np.concatenate([model(inputs[start : start + _BATCH], training=False).numpy() for start in starts])
