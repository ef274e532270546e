"""The images of a prepared dataset, one after the other, and what a perturbation makes of each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.dataset.encoding import encode_png
from components.dataset.images import decode_image
from components.dataset.manifest import FILE_NAME, newest_span
from components.dataset.perturbations import perturb
from components.dataset.seeds import stream
from components.dataset.splits import SPLITS
from components.errors import StepRefusedError
from components.examples import names
from serving import contract

DEFAULT_SPLITS = ("test", "testonly")

# Records that are parsed at once; how many the servable is asked at once does not depend on it.
_PARSED = 16
_FEATURES = (names.PATH, names.SOURCE, names.LABEL, names.PERTURBATION, names.IMAGE_BYTES)


class DamagedDatasetError(StepRefusedError):
    """A file of the dataset cannot be read to its end, or does not hold the features of a prepared dataset."""


@dataclass(frozen=True)
class Record:
    """One image of the dataset.

    Attributes:
        path: relative to the image tree.
        split: the split that holds it.
        source: where it comes from.
        label: 0 real, 1 fake.
        perturbation: what was done to it when the dataset was prepared; "" where the dataset does not say.
        image: the encoded image.
    """

    path: str
    split: str
    source: str
    label: int
    perturbation: str
    image: bytes


@dataclass(frozen=True)
class EvaluatedDataset:
    """The part of a dataset that is evaluated.

    Attributes:
        path: the dataset's folder.
        span: number of the span.
        files: split -> its GZIP-compressed TFRecord files.
        sources: all sources of the span, where its manifest tells; else empty.
        size: height and width in pixels of the stored images, None where no manifest tells.
        count: number of images in the splits, None where no manifest tells.
        digest: of the dataset's content, "" where no manifest tells.
    """

    path: Path
    span: int
    files: Mapping[str, tuple[Path, ...]]
    sources: tuple[str, ...]
    size: int | None
    count: int | None
    digest: str

    @property
    def folder(self) -> Path:
        """The span's folder."""
        return self.path / f"span-{self.span}"


def open_dataset(path: Path, span: int | None = None, splits: Sequence[str] | None = None) -> EvaluatedDataset:
    """Finds the files of a dataset; reads no record yet.

    Args:
        path: folder that holds `span-<N>/`.
        span: number of the span; None takes the newest.
        splits: names of splits; None takes "test" and "testonly", whichever is there.

    Raises:
        ValueError: if there is no such dataset, span or split, or a split holds no file.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: is not a folder. Make a dataset with: genattr prepare IMAGES {path}")
    number = newest_span(path) if span is None else span
    if number is None or not (path / f"span-{number}").is_dir():
        there = ", ".join(sorted(child.name for child in path.glob("span-*"))) or "none"
        hint = " Give the folder above it." if any((path / split).is_dir() for split in SPLITS) else ""
        raise ValueError(f"{path}: has no {'span' if number is None else f'span {number}'}; there are: {there}.{hint}")
    folder = path / f"span-{number}"
    found = {
        split: tuple(sorted((folder / split).glob("examples-*.tfrecord.gz")))
        for split in SPLITS
        if any((folder / split).glob("examples-*.tfrecord.gz"))
    }
    wanted = tuple(dict.fromkeys(splits)) if splits is not None else tuple(s for s in DEFAULT_SPLITS if s in found)
    if missing := [split for split in wanted if split not in found]:
        raise ValueError(
            f"{folder}: has no split {', '.join(missing)}; there are: {', '.join(found) or 'none'}. "
            "Choose others by `splits`."
        )
    if not wanted:
        raise ValueError(
            f"{folder}: has no split {' or '.join(DEFAULT_SPLITS)}; there are: {', '.join(found) or 'none'}. "
            "Choose others by `splits`."
        )
    told = _read_manifest(folder)
    images = [told.get("splits", {}).get(split, {}).get("images") for split in wanted]
    size = told.get("parameters", {}).get("size")
    return EvaluatedDataset(
        path=path,
        span=number,
        files={split: found[split] for split in wanted},
        sources=tuple(sorted(told.get("sources", {}))),
        size=size if isinstance(size, int) else None,
        count=sum(images) if all(isinstance(count, int) for count in images) else None,
        digest=str(told.get("digest", "")),
    )


def read_records(dataset: EvaluatedDataset) -> Iterator[Record]:
    """Yields every image of the splits, in the order of the files; a few records are in memory at a time.

    Raises:
        DamagedDatasetError: if a file ends too early, is damaged, or lacks a feature.
    """
    import tensorflow as tf

    from components.examples.reading import read_batches

    for split, files in dataset.files.items():
        for file in files:
            try:
                for batch in read_batches([file], _FEATURES, _PARSED):
                    yield from _records(split, batch)
            except tf.errors.OpError as error:
                reason = str(error.message).splitlines()[0]
                raise DamagedDatasetError(f"{file}: cannot be read: {reason} Prepare the dataset again.") from error


def perturbed(record: Record, perturbation: str, seed: int) -> bytes:
    """Return the image after a perturbation, as PNG; its strength is drawn from the image's own stream.

    Every image is perturbed, unlike at preparation, where half are: figures then speak of perturbed images alone.

    Args:
        record: Image to perturb.
        perturbation: One of `components.dataset.perturbations.ORDER`.
        seed: Seed that determines the strength together with the perturbation and the path, whatever the order of the
            images and the batch size.

    Raises:
        ImageRejectedError: If the image cannot be decoded.
        ValueError: If there is no such perturbation.
    """
    pixels = decode_image(record.image, contract.MAX_IMAGE_PIXELS).pixels
    return encode_png(perturb(pixels, perturbation, stream("evaluate", perturbation, seed, record.path)))


def _records(split: str, batch: Mapping[str, Any]) -> Iterator[Record]:
    for path, source, label, perturbation, image in zip(*(batch[name] for name in _FEATURES), strict=True):
        if label not in (contract.REAL_LABEL, contract.FAKE_LABEL):
            raise DamagedDatasetError(f"{path.decode()}: its label must be 0 or 1, got {label}. Prepare it again.")
        yield Record(path.decode(), split, source.decode(), int(label), perturbation.decode(), image)


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Returns what the manifest tells; nothing where there is none: records alone can be evaluated, too.

    Read leniently, unlike `Manifest.load`: datasets of earlier releases hold the same records.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: is not JSON: {error}. Prepare the dataset again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold an object, found {type(content).__name__}. Prepare the dataset again.")
    return content
