"""Asking a predictor for files and folders: one row a file, and no file can spoil another's."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from serving import contract, images
from serving.bad_rows import RefusedRow, batch_error, isolate_bad_rows
from serving.client.answers import Answer, PredictionError, Predictor
from serving.client.batching import BATCH_BYTES
from serving.names import shortened

_INPUT_IS_TO_BLAME = "INVALID_ARGUMENT"

# Files with their bytes, or with the reason why they cannot be sent.
_Files = list[tuple[Path, bytes | str]]
Contents = Mapping[Path, bytes | str]


@dataclass(frozen=True)
class Row:
    """The outcome for one file: an answer, or why there is none.

    Attributes:
        path: the file.
        answer: what the servable says; None if there was an error.
        error: why the file could not be judged; None if it could.
        content: the image's bytes, where the path cannot be read again.
        model: name, version and training data of the model, if it comes with the product; else None.
    """

    path: Path
    answer: Answer | None = None
    error: str | None = None
    content: bytes | None = field(default=None, repr=False)
    model: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> str | None:
        """The verdict, or None if there was an error."""
        return self.answer.verdict if self.answer else None

    @property
    def fake_probability(self) -> float | None:
        """That the image is synthesised, 0..1, or None if there was an error."""
        return self.answer.fake_probability if self.answer else None

    @property
    def source_probabilities(self) -> dict[str, float]:
        """That the image comes from each source, 0..1; empty if there was an error."""
        return self.answer.source_probabilities if self.answer else {}

    def to_json(self) -> dict[str, Any]:
        """Return the row as `genattr predict` writes it in JSON lines; optional keys only where there is a value."""
        document: dict[str, Any] = {
            "path": str(self.path),
            "verdict": self.verdict,
            "fake_probability": self.fake_probability,
            "source_probabilities": self.source_probabilities,
        }
        if self.answer is not None and self.answer.fake_probability_range is not None:
            document["fake_probability_range"] = list(self.answer.fake_probability_range)
        if self.error is not None:
            document["error"] = self.error
        return document if self.model is None else {**document, "model": dict(self.model)}


def predict_files(
    predictor: Predictor,
    paths: Sequence[Path],
    batch_size: int = 32,
    signature: str = contract.SIGNATURE_DEFAULT,
    on_progress: Callable[[int, int], None] | None = None,
    on_answer: Callable[[bytes, Answer], None] | None = None,
    contents: Contents = MappingProxyType({}),
) -> Iterator[Row]:
    """Asks for files, a batch at a time; of a server several at a time, and reads ahead meanwhile.

    A file that cannot be read, is no image, or is refused by the servable gives a row with `error`; the others in its
    batch are asked for again without it.

    Args:
        predictor: what to ask. If it has an attribute `concurrency`, it is asked by so many threads.
        paths: files, e.g. those that `file_search.find` finds.
        batch_size: most images a request, 1 to 256; a client whose own limit is lower keeps to that.
        signature: `serving_default`, or `explain` for heatmaps as well.
        on_progress: called after each batch with the number of files that are done, and how many of them have an error.
        on_answer: called with each image that was answered and its answer, before its row is yielded.
        contents: bytes, or the reason why they cannot be sent, of paths that were read already.

    Yields:
        a row for each path, in their order.

    Raises:
        ValueError: if batch_size is out of range.
        PredictionError: if the trouble is not an image's, e.g. no server answers or the model is unknown.
    """
    if not 1 <= batch_size <= contract.MAX_BATCH_ROWS:
        raise ValueError(f"batch_size: must be 1 to {contract.MAX_BATCH_ROWS}, got {batch_size}.")
    batches = _batches(paths, batch_size, contents)
    return _predict_files(predictor, batches, signature, contents, on_progress, on_answer)


def predict_each(
    predictor: Predictor, batch: Sequence[bytes], signature: str = contract.SIGNATURE_DEFAULT
) -> list[Answer | str]:
    """Predict a batch so that no image can spoil another's answer.

    Args:
        predictor: Server or servable that answers.
        batch: Encoded images, at most `contract.MAX_BATCH_ROWS`.
        signature: `serving_default`, or `explain` for heatmaps as well.

    Returns:
        The answer, or the reason why there is none, for each image in its order.

    Raises:
        PredictionError: If no image is at fault, e.g. no server answers or the model is unknown.
    """

    def run(rows: Sequence[int]) -> list[Answer]:
        try:
            return predictor.predict([batch[row] for row in rows], signature)
        except PredictionError as error:
            if error.code != _INPUT_IS_TO_BLAME:
                raise
            raise batch_error(error.message) from error

    outcomes = sorted(isolate_bad_rows(run, range(len(batch))), key=itemgetter(0))
    return [outcome.reason if isinstance(outcome, RefusedRow) else outcome for _, outcome in outcomes]


def _predict_files(
    predictor: Predictor,
    batches: Iterator[_Files],
    signature: str,
    contents: Contents,
    on_progress: Callable[[int, int], None] | None,
    on_answer: Callable[[bytes, Answer], None] | None,
) -> Iterator[Row]:
    done = failed = 0
    for batch, outcomes in _answered(predictor, batches, signature):
        for (path, content), outcome in zip(batch, outcomes, strict=True):
            if on_answer is not None and isinstance(content, bytes) and isinstance(outcome, Answer):
                on_answer(content, outcome)
            if isinstance(outcome, Answer):
                row = Row(path, answer=outcome, content=content if path in contents else None)  # type: ignore[arg-type]
            else:
                row = Row(path, error=shortened(outcome))
            done, failed = done + 1, failed + (row.error is not None)
            yield row
        if on_progress is not None:
            on_progress(done, failed)


def _answered(
    predictor: Predictor, batches: Iterator[_Files], signature: str
) -> Iterator[tuple[_Files, list[Answer | str]]]:
    """Yields each batch with its outcomes, in order; batches are read while earlier ones are being answered."""
    concurrency = getattr(predictor, "concurrency", 1)
    if concurrency == 1:
        for batch in batches:
            yield batch, _outcomes(predictor, batch, signature)
        return
    workers = ThreadPoolExecutor(concurrency, thread_name_prefix="files")
    asked: deque[tuple[_Files, Future[list[Answer | str]]]] = deque()
    try:
        for batch in batches:
            asked.append((batch, workers.submit(_outcomes, predictor, batch, signature)))
            # One more than is in flight, so that the next request starts when one ends, not when its answer is used.
            if len(asked) > concurrency:
                oldest, future = asked.popleft()
                yield oldest, future.result()
        for remaining, future in asked:
            yield remaining, future.result()
    finally:
        # Whoever stops reading closes the predictor, which ends what is in flight.
        workers.shutdown(wait=False, cancel_futures=True)


def _outcomes(predictor: Predictor, batch: _Files, signature: str) -> list[Answer | str]:
    """Returns an answer, or the reason why there is none, for each file of a batch."""
    readable = [content for _, content in batch if isinstance(content, bytes)]
    answers = iter(predict_each(predictor, readable, signature))
    return [next(answers) if isinstance(content, bytes) else content for _, content in batch]


def _batches(paths: Sequence[Path], batch_size: int, contents: Contents) -> Iterator[_Files]:
    """Groups files with their bytes, or with the reason why they cannot be sent."""
    batch: _Files = []
    total = 0
    for path in paths:
        content = contents[path] if path in contents else _read(path)
        if batch and (len(batch) == batch_size or total + len(content) > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append((path, content))
        total += len(content)
    if batch:
        yield batch


def _read(path: Path) -> bytes | str:
    try:
        size = path.stat().st_size
        if size > contract.MAX_IMAGE_BYTES:  # before it is read: it may not fit in memory
            return f"holds {size:,} bytes, above the limit of {contract.MAX_IMAGE_BYTES:,}"
        if not path.is_file():
            return "is not a regular file"
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return images.refusal(content) or content
