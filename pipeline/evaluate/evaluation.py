"""`genattr evaluate`: asks a servable for every image of a dataset and writes what comes of it.

Records are streamed: an image is in memory while its batch is asked, and what stays are its probabilities and its
name. No image is dropped: the last batch may be small, and what the servable refuses is listed with the reason.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from components.dataset.images import ImageRejectedError
from components.dataset.perturbations import ORDER
from pipeline.evaluate.data import EvaluatedDataset, Record, open_dataset, perturbed, read_records
from pipeline.evaluate.figures import evaluation_figures
from pipeline.evaluate.files import (
    REPORT,
    replacing,
    require_replaceable,
    write_metrics,
    write_pictures,
    write_scores,
)
from pipeline.evaluate.report import REFUSED_SHOWN, render_evaluation
from pipeline.evaluate.scores import PRIMARY, UNPERTURBED, Answers, Images, ServableScores, match_heads
from serving import contract
from serving.client.answers import Answer, Predictor
from serving.client.predict import predict_each
from serving.errors import ServableError
from serving.servable.description import ServableDescription, describe

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, on what, and how.

    Attributes:
        servable: a servable, or the folder of its versions.
        dataset: folder that holds `span-<N>/`.
        output: the report's folder; an earlier evaluation there is replaced.
        span: number of the span, None for the newest.
        splits: None for "test" and "testonly".
        perturbations: applied to every image, besides asking for the images as they are; of `perturbations.ORDER`.
        seed: of the perturbations' strengths.
        batch_size: most images a request, 1 to 256; the figures do not depend on it.
    """

    servable: Path
    dataset: Path
    output: Path
    span: int | None = None
    splits: tuple[str, ...] | None = None
    perturbations: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int = 32

    def __post_init__(self) -> None:
        """Raises ValueError if a value is out of range."""
        if not 1 <= self.batch_size <= contract.MAX_BATCH_ROWS:
            raise ValueError(f"batch_size: must be 1 to {contract.MAX_BATCH_ROWS}, got {self.batch_size}.")
        if strange := [name for name in self.perturbations if name not in ORDER]:
            raise ValueError(f"perturbations: must be of {', '.join(ORDER)}, got {', '.join(strange)}.")


@dataclass(frozen=True)
class EvaluationOutcome:
    """What was written.

    Attributes:
        report: the HTML file.
        document: what metrics.json holds.
    """

    report: Path
    document: dict[str, Any]

    @property
    def refused(self) -> int:
        """Number of images that could not be judged."""
        return int(self.document["refused"]["count"])


def check(options: EvaluationOptions) -> tuple[ServableDescription, EvaluatedDataset]:
    """Checks in milliseconds what can be checked before anything is loaded.

    Raises:
        ValueError: if the dataset is missing or holds no such span or split, its images are smaller than the servable's
            window, heads have unfit names, or something else stands where the report would be written.
        ServableError: if there is no servable, or it does not say what it holds.
    """
    require_replaceable(options.output)
    servable = describe(options.servable)
    dataset = open_dataset(options.dataset, options.span, options.splits)
    if servable.size and dataset.size and dataset.size < servable.size:
        raise ValueError(
            f"{dataset.folder}: its images have {dataset.size} x {dataset.size} pixels, and {servable.version.path} "
            f"looks at {servable.size} x {servable.size}. Prepare the dataset with size {servable.size}."
        )
    match_heads(list(servable.sources), dataset.sources, servable.level)
    return servable, dataset


def evaluate(
    options: EvaluationOptions, progress: Progress | None = None, created: datetime | None = None
) -> EvaluationOutcome:
    """Evaluates a servable on a dataset and writes the report's folder, all of it or nothing.

    Args:
        options: what to evaluate.
        progress: called with (done, total, what) as images are judged; total is done where it is not known.
        created: the time to write into the report; None takes the present.

    Raises:
        ValueError, ServableError: as `check`; also if the splits hold no image.
        PredictionError: if the trouble is not an image's.
        DamagedDatasetError: if the dataset cannot be read to its end.
        OSError: if the report cannot be written.
    """
    servable, dataset = check(options)
    # Before anything is asked: a folder that cannot be written should not be found out at the end.
    with replacing(options.output) as folder:
        from serving.client.local_model import LocalModel  # TensorFlow comes with it

        model = LocalModel(servable.version.path)
        judged = judge(model, read_records(dataset), servable, options, dataset.count, progress)
        scores = judged.scores(servable, dataset)
        if not scores.images.count and not judged.refused:
            raise ValueError(
                f"{dataset.folder}: holds no image in {', '.join(dataset.files)}. Choose others by `splits`."
            )
        document = {
            **_head(options, servable, dataset, scores, judged.refused, created or datetime.now(UTC)),
            **evaluation_figures(scores),
        }
        write_scores(folder, scores, judged.refused)
        write_metrics(folder, document)
        write_pictures(folder, scores, document)
        (folder / REPORT).write_text(render_evaluation(document, scores), encoding="utf-8")
    return EvaluationOutcome(options.output / REPORT, document)


@dataclass
class Judged:
    """Answers as they come in; images are not kept.

    Attributes:
        rows: path, source, split, label and preparation's perturbation of each judged image.
        raw: perturbation -> probabilities of each image, float32 [1 + heads].
        verdicts: perturbation -> verdict on each image.
        refused: of each image that could not be judged: path, source, split, reason.
    """

    rows: list[tuple[str, str, str, int, str]] = field(default_factory=list)
    raw: dict[str, list[np.ndarray]] = field(default_factory=dict)
    verdicts: dict[str, list[str]] = field(default_factory=dict)
    refused: list[dict[str, str]] = field(default_factory=list)

    def scores(self, servable: ServableDescription, dataset: EvaluatedDataset) -> ServableScores:
        """Returns everything as arrays."""
        columns = [list(column) for column in zip(*self.rows, strict=True)] or [[] for _ in range(5)]
        paths, sources, splits, labels, perturbations = columns
        images = Images(
            paths=np.array(paths, np.str_),
            sources=np.array(sources, np.str_),
            splits=np.array(splits, np.str_),
            labels=np.array(labels, np.int8),
            perturbations=np.array(perturbations, np.str_),
        )
        heads = match_heads(list(servable.sources), {*dataset.sources, *sources}, servable.level)
        answers = {
            name: Answers(
                np.array(self.raw[name], np.float32).reshape(len(paths), 1 + len(heads)),
                np.array(self.verdicts[name], np.str_),
            )
            for name in self.raw
        }
        thresholds = np.array([servable.detection, *servable.sources.values()], np.float32)
        return ServableScores(thresholds, heads, images, answers, servable.uncertain_band, servable.stability > 0)


def judge(
    model: Predictor,
    records: Iterable[Record],
    servable: ServableDescription,
    options: EvaluationOptions,
    total: int | None = None,
    progress: Progress | None = None,
) -> Judged:
    """Asks for every image, as it is and under each perturbation.

    An image that is refused in any of these is left out of all of them, so that figures compare the same images.

    Args:
        model: what to ask.
        records: the images.
        servable: what the model says of itself.
        options: perturbations, seed and batch size.
        total: number of records, None where it is not known.
        progress: as `evaluate`.

    Raises:
        ServableError: if an answer does not name the heads that the servable's operating points name.
        PredictionError: if the trouble is not an image's.
    """
    asked = (UNPERTURBED, *dict.fromkeys(options.perturbations))
    judged = Judged(raw={name: [] for name in asked}, verdicts={name: [] for name in asked})
    heads = list(servable.sources)
    verdicts = {name: name for name in (*heads, *contract.RESERVED_VERDICTS)}  # one text for all images that got it
    if not servable.can_be_uncertain:
        del verdicts[contract.VERDICT_UNCERTAIN]
    done = 0
    for batch in _batches(records, options.batch_size):
        for record, outcome in zip(batch, _judge_batch(model, batch, asked, options.seed), strict=True):
            if isinstance(outcome, str):
                judged.refused.append(
                    {"path": record.path, "source": record.source, "split": record.split, "reason": outcome}
                )
                continue
            judged.rows.append((record.path, record.source, record.split, record.label, record.perturbation))
            for name, answer in outcome.items():
                if list(answer.source_probabilities) != heads or answer.verdict not in verdicts:
                    raise ServableError(
                        f"{servable.version.path}: answers for {list(answer.source_probabilities)} with the verdict "
                        f"{answer.verdict!r}, and its operating points are for {heads}. Export the servable again."
                    )
                row = (answer.fake_probability, *answer.source_probabilities.values())
                judged.raw[name].append(np.array(row, np.float32))
                judged.verdicts[name].append(verdicts[answer.verdict])
        done += len(batch)
        if progress is not None:
            progress(done, max(done, total or 0), batch[-1].path)
    return judged


def _judge_batch(
    model: Predictor, batch: Sequence[Record], asked: Sequence[str], seed: int
) -> list[dict[str, Answer] | str]:
    """Return the answers of each image by perturbation, or the reason why there are none."""
    answers: list[dict[str, Answer]] = [{} for _ in batch]
    reasons: dict[int, str] = {}
    for name in asked:
        images: dict[int, bytes] = {}
        for row, record in enumerate(batch):
            if row in reasons:
                continue
            try:
                images[row] = record.image if name == UNPERTURBED else perturbed(record, name, seed)
            except ImageRejectedError as rejected:
                reasons[row] = f"cannot be perturbed: {rejected.detail}"
        for row, answered in zip(images, predict_each(model, list(images.values())), strict=True):
            outcome = answered if isinstance(answered, str) else _sound(answered)
            if isinstance(outcome, str):
                reasons[row] = outcome if name == UNPERTURBED else f"after {name}: {outcome}"
            else:
                answers[row][name] = outcome
    return [reasons.get(row, answer) for row, answer in enumerate(answers)]


def _sound(answer: Answer) -> Answer | str:
    for value in (answer.fake_probability, *answer.source_probabilities.values()):
        if not (math.isfinite(value) and 0 <= value <= 1):
            return f"the servable answered {value}, which is no probability"
    return answer


def _batches(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch


def _head(
    options: EvaluationOptions,
    servable: ServableDescription,
    dataset: EvaluatedDataset,
    scores: ServableScores,
    refused: Sequence[Mapping[str, str]],
    created: datetime,
) -> dict[str, Any]:
    """Returns what metrics.json says before the figures: what was asked, and of what."""
    splits = scores.images.splits
    return {
        "created": f"{created.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "servable": {
            "path": str(servable.version.path),
            "version": servable.version.number,
            "description": servable.in_words(),
            "representation": servable.representation or None,
            "size": servable.size,
            "level": servable.level,
            "heads": list(servable.sources),
            "operating_points": {PRIMARY: servable.detection, **servable.sources},
            **({"uncertain_band": list(servable.uncertain_band)} if servable.uncertain_band else {}),
            **({"stability": servable.stability} if servable.stability else {}),
            **({"acceptance": servable.acceptance.to_json()} if servable.acceptance else {}),
        },
        "dataset": {
            "path": str(dataset.path),
            "span": dataset.span,
            "splits": {split: int((splits == split).sum()) for split in dataset.files},
            "digest": dataset.digest or None,
        },
        "settings": {
            "perturbations": list(scores.answers),
            "seed": options.seed,
            "batch_size": options.batch_size,
        },
        "images": scores.images.count,
        "refused": {"count": len(refused), "first": [dict(row) for row in refused[:REFUSED_SHOWN]]},
    }
