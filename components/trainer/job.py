"""One training as a description that another process can carry out: what goes in, how, and where results go."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.parameters import Parameters
from components.servable.export import export_servable
from components.servable.operating_points import OperatingPoints
from components.training import artifacts
from components.training.baselines import train_baseline
from components.training.checkpoints import Checkpoint
from components.training.determinism import deterministic_operations
from components.training.examples import Split, process_splits
from components.training.fitting import FittingOptions
from components.training.learners import process_learners
from components.training.middle_features import (
    MiddleFeatures,
    copies_of,
    extract_middle_features,
    process_store,
    repeated,
)
from components.training.modules import train_head, train_primary
from components.training.parameters import BaselineParameters, TrainingParameters
from components.training.strategies import Replicas
from components.training.trained import TrainedModule

_logger = logging.getLogger(__name__)


class TrainingJob(Parameters):
    """One training: of a baseline if there is one, of a head if there is a primary module, else of a primary module.

    Attributes:
        splits: split -> files of its examples.
        transform_graph: URI of the TransformGraph artifact.
        inputs: representation and size.
        training: parameters of the training; of a baseline, its own.
        source: of a head or an attribution baseline; else empty.
        level: what `source` and `sources` name.
        primary: folder of the primary module's Model artifact, for a head; else empty.
        baseline: architecture and task of a baseline; else None.
        sources: classes of a multiclass baseline beside "real".
        warm_start: folder of an earlier Model artifact whose weights are started from; empty for none.
        source_digest: of the code that trains.
        model_folder: of the Model artifact to write.
        run_folder: of the ModelRun artifact to write.
        checkpoints: folder that outlives the run, for the state after each epoch.
        scratch: folder for temporary files.
    """

    splits: dict[str, tuple[str, ...]]
    transform_graph: str
    inputs: InputParameters
    training: TrainingParameters
    source: str = ""
    level: AttributionLevel = "instance"
    primary: str = ""
    baseline: BaselineParameters | None = None
    sources: tuple[str, ...] = ()
    warm_start: str = ""
    source_digest: str = ""
    model_folder: str
    run_folder: str
    checkpoints: str
    scratch: str

    @property
    def identity(self) -> str:
        """A digest of everything that decides what is learnt, and of nothing else: 16 hexadecimal digits."""
        digest = hashlib.sha256(
            self.model_dump_json(exclude={"model_folder", "run_folder", "checkpoints", "scratch"}).encode()
        )
        for folder in (self.primary, self.warm_start):
            if folder:
                digest.update(_file_digest(Path(folder) / artifacts.MODEL_FILE))
        return digest.hexdigest()[:16]


def run_job(job: TrainingJob, replicas: Replicas) -> None:
    """Carries out a training; the chief of its processes writes Model and ModelRun.

    Args:
        job: the training.
        replicas: the devices that train together.

    Raises:
        ValueError: if the data or the model to start from do not fit; see `modules`, `baselines` and `fitting`.
        FloatingPointError: if the loss stops being a finite number.
    """
    splits = {name: process_splits().get(name, files, Path(job.scratch)) for name, files in job.splits.items()}
    for name, split in splits.items():
        _logger.info("split '%s': %d images", name, split.count)
    transform = ExportedTransform(job.transform_graph)
    checkpoint = Checkpoint(Path(job.checkpoints) / job.identity, replicas.is_chief)
    options = FittingOptions(
        start=artifacts.read_model(Path(job.warm_start)) if job.warm_start else None,
        logs=Path(job.run_folder) / artifacts.LOGS_FOLDER,
        checkpoint=checkpoint,
        scratch=Path(job.scratch),
        replicas=replicas,
    )
    with deterministic_operations(job.training.deterministic):
        trained = _train(job, splits, transform, options)
    if replicas.is_chief:
        _write(job, trained, transform)
        checkpoint.remove()


def _train(
    job: TrainingJob, splits: Mapping[str, Split], transform: ExportedTransform, options: FittingOptions
) -> TrainedModule:
    if job.baseline is not None:
        return train_baseline(job.baseline, splits, transform, job.inputs, job.source, job.sources, job.level, options)
    if job.primary:
        features = middle_features(job, splits, transform)
        options = dataclasses.replace(options, learners=process_learners())
        splits = repeated(splits, job.training)
        return train_head(job.source, features, splits, job.inputs, job.training, job.level, options)
    return train_primary(splits, transform, job.inputs, job.training, options)


def middle_features(job: TrainingJob, splits: Mapping[str, Split], transform: ExportedTransform) -> MiddleFeatures:
    """Returns the features of a head's images, computed here or for the last head of this process."""
    key = hashlib.sha256(_file_digest(Path(job.primary) / artifacts.MODEL_FILE))
    key.update(job.model_dump_json(include={"splits", "transform_graph", "inputs"}).encode())
    training = job.training
    key.update(f"{training.memory_budget_mb} {copies_of(training)}".encode())
    if copies_of(training) > 1:
        key.update(f"{training.seed} {training.augmentation.model_dump_json()}".encode())
    return process_store().get(
        key.hexdigest(),
        lambda: extract_middle_features(
            artifacts.read_model(Path(job.primary)),
            splits,
            transform,
            job.inputs,
            job.training,
            Path(job.scratch),
        ),
    )


def _write(job: TrainingJob, trained: TrainedModule, transform: ExportedTransform) -> None:
    """Writes Model and ModelRun."""
    model_folder, run_folder = Path(job.model_folder), Path(job.run_folder)
    architecture = job.baseline.architecture if job.baseline else artifacts.PROPOSED
    artifacts.write_module(model_folder, trained, job.source, architecture)
    artifacts.write_run(run_folder, trained)
    if job.baseline:
        return
    threshold = trained.operating_point.threshold
    primary, heads, points = trained.model, {}, OperatingPoints(threshold)
    if job.primary:
        folder = Path(job.primary)
        primary, heads = artifacts.read_model(folder), {job.source: trained.model}
        detection = artifacts.read_description(folder).operating_point.threshold
        points = OperatingPoints(detection, {job.source: threshold})
    export_servable(
        model_folder / artifacts.SERVING_FOLDER, transform, job.inputs, primary, heads, points,
        for_evaluation=True, level=job.level,
    )  # fmt: skip


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
