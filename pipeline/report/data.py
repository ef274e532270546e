"""What a report of a run is made from: plain values, filled by whoever knows the run.

Everything may be missing except a name, an identifier, a time and an outcome: a run that failed early has a report too,
and the report says what is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from components.metrics.calibration import Calibration
from components.metrics.open_set_turns import OpenSetEvaluation
from serving.servable.acceptance import Acceptance

NODE_STATES = ("executed", "cached", "failed", "not run")
OUTCOMES = ("pushed", "stopped", "failed")


@dataclass(frozen=True)
class NodeRun:
    """One node of the pipeline in this run.

    Attributes:
        name: the node's identifier, e.g. `SecondaryTrainer.progan_celeba`.
        state: one of `NODE_STATES`; anything else raises ValueError.
        seconds: wall-clock time, None where it is not known.
    """

    name: str
    state: str
    seconds: float | None

    def __post_init__(self) -> None:
        if self.state not in NODE_STATES:
            raise ValueError(f"state of node {self.name!r}: must be one of {NODE_STATES}, got {self.state!r}.")


@dataclass(frozen=True)
class Gate:
    """One condition of a model's blessing: minimum <= value <= maximum, where given.

    Attributes:
        metric: name of the metric that is judged.
        minimum: smallest value that passes, None for no lower limit.
        maximum: largest value that passes, None for no upper limit.
        value: the measured value, None where it was not measured.
        passed: whether the condition held.
    """

    metric: str
    minimum: float | None
    maximum: float | None
    value: float | None
    passed: bool


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """One model's scores on one split.

    Attributes:
        split: name of the split, e.g. `test`.
        labels: integers [n] of the model's own question: detection 1 = fake; attribution 1 = of the model's source.
        scores: floats [n], 0..1: the probability of label 1.
        sources: strings [n]: where each image comes from.
    """

    split: str
    labels: np.ndarray
    scores: np.ndarray
    sources: np.ndarray


@dataclass(frozen=True, eq=False)
class ModelReport:
    """One trained model.

    Attributes:
        name: "primary", or the name of the source that a secondary module recognises.
        task: "detection" or "attribution".
        blessed: the evaluation's decision, None if it did not run.
        gates: the conditions of the blessing.
        metrics: as the Evaluator measured them; shown beside the figures that the report computes from the scores.
        threshold: the operating point, 0..1, None if none was chosen.
        threshold_rule: how it was chosen, in words.
        history: values per epoch of every quantity that training recorded, e.g. `loss`, `val_loss`, `roc_auc`.
        parameters: number of trained parameters, None if unknown.
        training_seconds: wall-clock time of training, None if unknown.
        scores: one set a split that the model was asked on.
        calibration: what was done to its probabilities, None if that is not known.
    """

    name: str
    task: str
    blessed: bool | None
    gates: Sequence[Gate]
    metrics: Mapping[str, float]
    threshold: float | None
    threshold_rule: str
    history: Mapping[str, Sequence[float]]
    parameters: int | None
    training_seconds: float | None
    scores: Sequence[ScoreSet]
    calibration: Calibration | None = None


@dataclass(frozen=True, eq=False)
class CopiesReport:
    """One kind of perturbed copies of the evaluation split, or the images as they were.

    Attributes:
        perturbation: what was done to every image, e.g. "jpeg_95"; "clean" for nothing.
        jpeg_quality: at which all images were stored alike, None if this is no JPEG of one quality and nothing else.
        images: number of copies, None if it is not known.
        left_out: number of copies that came out smaller than the models' window.
        metrics: of the primary module, as the Evaluator measured them.
        gates: the conditions that the primary module must meet on these copies.
        scores: model -> its scores, as the servable gave them; empty where no servable was asked.
    """

    perturbation: str
    jpeg_quality: int | None
    images: int | None
    left_out: int
    metrics: Mapping[str, float]
    gates: Sequence[Gate]
    scores: Mapping[str, ScoreSet]


@dataclass(frozen=True, eq=False)
class BaselineReport:
    """One trained baseline.

    Attributes:
        architecture: its name, e.g. "gdaconv".
        task: "detection", "attribution" (one source against the rest) or "multiclass".
        source: the source that it recognises if its task is attribution, else empty.
        classes: of a multiclass baseline, "real" first; else empty.
        images_left_out: images of the split that belong to none of the classes.
        threshold: the operating point, 0..1; None for multiclass, where the strongest class wins.
        parameters: number of weights.
        training_seconds: wall-clock time of training.
        history: values per epoch of every quantity that training recorded.
        scores: of the split that is compared; of a multiclass baseline the labels are indices into `classes`, and the
            scores floats [n, classes] that sum to 1.
    """

    architecture: str
    task: str
    source: str
    classes: tuple[str, ...]
    images_left_out: int
    threshold: float | None
    parameters: int
    training_seconds: float
    history: Mapping[str, Sequence[float]]
    scores: ScoreSet


@dataclass(frozen=True, eq=False)
class CombinedHeads:
    """The proposed method as one classifier: what its verdict rule says of the images of the compared split.

    Attributes:
        classes: "real", then the sources (or architectures) with a head.
        labels: int [n], index of each image's class; images of no class are left out.
        verdicts: strings [n], as the servable would give them.
        scores: floats [n, classes], 0..1: 1 - fake probability, then each head's; they do not sum to anything.
        images_left_out: images that belong to none of the classes.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    verdicts: np.ndarray
    scores: np.ndarray
    images_left_out: int


@dataclass(frozen=True, eq=False)
class DataReport:
    """The data set that the run read.

    Attributes:
        span: its number, None if it has none.
        counts: images by split, then source.
        labels: source to 0 (real) or 1 (fake).
        rejected: reason to number of files that preparation refused.
        rejected_examples: some of them: path, reason, detail.
        duplicates: number of files left out because another has the same content.
        formats: images by source, then file format as given.
        samples: source to a few encoded images.
        spectra: source to the mean of log |DCT| over its images, floats [size, size], the constant term at [0, 0].
        warnings: sentences of preparation and of the check on data, e.g. that the file format tells real from fake.
    """

    span: int | None
    counts: Mapping[str, Mapping[str, int]]
    labels: Mapping[str, int]
    rejected: Mapping[str, int]
    rejected_examples: Sequence[tuple[str, str, str]]
    duplicates: int
    formats: Mapping[str, Mapping[str, int]]
    samples: Mapping[str, Sequence[bytes]]
    spectra: Mapping[str, np.ndarray]
    warnings: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run of the pipeline.

    Attributes:
        pipeline: the pipeline's name.
        run_id: identifier of the run.
        created: when the report was made; naive times are taken as UTC.
        outcome: "pushed", "stopped" (a check said no) or "failed" (something broke); else ValueError is raised.
        message: the cause, readable, where the run did not go through.
        servable: where the pushed version lies, None without one.
        nodes: the pipeline's nodes in the order in which they run.
        data: the data set, None if it was not read.
        models: the models, the primary module first.
        confusion: row names, column names and counts of `confusion.verdict_confusion`, None without verdicts.
        baselines: models of earlier work, trained beside ours.
        combined: the proposed method as one classifier, for the comparison with baselines; None where it is not made.
        model_card: name of the servable's model card, which lies beside the report; None without one.
        copies: the kinds of perturbed copies that the models were judged on, the images as they were first; empty where
            there are none.
        open_set: what heads make of generators that they do not know, None if it was not measured.
        acceptance: score and threshold from which on the servable names a generator, None where none was configured.
        versions: library to version.
        digests: what was digested (our source, the data set, ...) to digest.
        configuration: the configuration, YAML.
        missing: a sentence for each part of the report that could not be made, and why.
    """

    pipeline: str
    run_id: str
    created: datetime
    outcome: str
    message: str
    servable: str | None
    nodes: Sequence[NodeRun]
    data: DataReport | None
    models: Sequence[ModelReport]
    confusion: tuple[Sequence[str], Sequence[str], np.ndarray] | None
    versions: Mapping[str, str]
    digests: Mapping[str, str]
    configuration: str
    baselines: Sequence[BaselineReport] = ()
    combined: CombinedHeads | None = None
    model_card: str | None = None
    copies: Sequence[CopiesReport] = ()
    open_set: OpenSetEvaluation | None = None
    missing: Sequence[str] = ()
    acceptance: Acceptance | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome: must be one of {OUTCOMES}, got {self.outcome!r}.")
