"""Description of one training that another process can run: its inputs, parameters and outputs."""

import dataclasses
import hashlib
import logging
from pathlib import Path

from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.parameters import Parameters
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from components.training import artifacts
from components.training.baselines import Baseline, train_baseline
from components.training.checkpoints import Checkpoint
from components.training.determinism import deterministic_operations
from components.training.examples import process_splits
from components.training.given import read_given, take_head, take_primary
from components.training.learners import process_learners
from components.training.middle_features import repeated, stored_middle_features
from components.training.modules import train_head, train_primary
from components.training.parameters import BaselineParameters, TrainingParameters
from components.training.strategies import Replicas
from components.training.trained import TrainedModule
from components.training.training import Training

_LOGGER = logging.getLogger(__name__)


class TrainingJob(Parameters):
    """One training: of a baseline if `baseline` is set, of a head if `primary` is, else of a primary module.

    Attributes:
        splits: Files of the examples, by split.
        transform_graph: URI of the TransformGraph artifact.
        inputs: Representation and size.
        training: Parameters of the training; for a baseline, its own.
        source: Source or architecture of a head or an attribution baseline; else empty.
        level: Kind of name in `source` and `sources`.
        primary: Directory of the primary module's Model artifact, for a head; else empty.
        baseline: Architecture and task of a baseline; else None.
        sources: Classes of a multiclass baseline beside "real".
        warm_start: Directory of an earlier Model artifact whose weights are the initial ones, or that is taken as it is
            (`TrainingParameters.takes_module`); empty for none.
        source_digest: Digest of the code that trains.
        model_folder: Directory of the Model artifact to write.
        run_folder: Directory of the ModelRun artifact to write.
        checkpoints: Directory that outlives the run, for the state after each epoch.
        scratch: Directory for temporary files.
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
        """Digest of everything that decides what is learnt, and of nothing else: 16 hexadecimal digits."""
        digest = hashlib.sha256(
            self.model_dump_json(exclude={"model_folder", "run_folder", "checkpoints", "scratch"}).encode()
        )
        for folder in (self.primary, self.warm_start):
            if folder:
                digest.update(artifacts.model_digest(Path(folder)))
        return digest.hexdigest()[:16]


def run_job(job: TrainingJob, replicas: Replicas) -> None:
    """Run a training; the chief of its processes writes Model and ModelRun.

    Args:
        job: Description of the training.
        replicas: Devices that train together.

    Raises:
        ValueError: if the data or the model to start from do not fit; see `modules`, `baselines` and `fitting`.
        FloatingPointError: if the loss stops being a finite number.
    """
    splits = {name: process_splits().get(name, files, Path(job.scratch)) for name, files in job.splits.items()}
    for name, split in splits.items():
        _LOGGER.info("split '%s': %d images", name, split.count)
    checkpoint = Checkpoint(Path(job.checkpoints) / job.identity, replicas.is_chief)
    training = Training(
        splits,
        job.inputs,
        job.training,
        start=artifacts.read_model(Path(job.warm_start)) if job.warm_start else None,
        logs=Path(job.run_folder) / artifacts.LOGS_FOLDER,
        checkpoint=checkpoint,
        scratch=Path(job.scratch),
        replicas=replicas,
    )
    transform = ExportedTransform(job.transform_graph)
    with deterministic_operations(job.training.deterministic):
        trained = _train(job, training, transform)
    if replicas.is_chief:
        _write(job, trained, transform)
        checkpoint.remove()


def _train(job: TrainingJob, training: Training, transform: ExportedTransform) -> TrainedModule:
    if job.baseline is not None:
        baseline = Baseline(job.baseline.architecture, job.baseline.task, job.source, job.sources, job.level)
        return train_baseline(training, baseline, transform)
    if job.training.takes_module:
        given = read_given(Path(job.warm_start))
        return take_head(given) if job.primary else take_primary(training, given, transform)
    if job.primary:
        features = stored_middle_features(Path(job.primary), training, job.transform_graph)
        training = dataclasses.replace(repeated(training), learners=process_learners())
        return train_head(training, job.source, features, job.level)
    return train_primary(training, transform)


def _write(job: TrainingJob, trained: TrainedModule, transform: ExportedTransform) -> None:
    """Write Model and ModelRun."""
    model_folder, run_folder = Path(job.model_folder), Path(job.run_folder)
    architecture = job.baseline.architecture if job.baseline else artifacts.PROPOSED
    artifacts.write_module(model_folder, trained, job.source, architecture)
    if job.warm_start and (origin := artifacts.read_origin(Path(job.warm_start))):
        artifacts.write_origin(model_folder, {**origin, "taken": job.training.takes_module})
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
    module = AttributionModule(transform, job.inputs, primary, heads, points, job.level)
    export_servable(model_folder / artifacts.SERVING_FOLDER, module, for_evaluation=True)
