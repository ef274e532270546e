"""Second pass of preparation: from checked images to TFRecord files of encoded, perturbed and labelled records."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.dataset.crop import crop_pixels
from components.dataset.encoding import encode_alike, encode_png
from components.dataset.images import CheckedImage, decode_image, hash_pixels
from components.dataset.parameters import PreparationParameters
from components.dataset.perturbations import Perturbation, apply_perturbations, draw_perturbations
from components.dataset.pool import Progress, chunks, ordered_map
from components.dataset.reference_perturbations import apply_reference, draw_reference, reference_stream
from components.dataset.seeds import stream
from components.dataset.splits import SPLITS
from components.dataset.tree import file_of
from components.examples import names
from components.examples.records import RecordWriter, encode_example

_WRITTEN_AT_A_TIME = 16


@dataclass(frozen=True)
class EncodedRecord:
    """One serialized tf.Example, with what the manifest wants to know of it."""

    example: bytes
    image_bytes: int
    perturbations: tuple[str, ...]


def write_splits(
    root: Path,
    directory: Path,
    splits: dict[str, list[CheckedImage]],
    parameters: PreparationParameters,
    executor: ProcessPoolExecutor | None,
    progress: Progress | None,
) -> tuple[dict[str, dict[str, Any]], int, dict[str, int]]:
    """Write the shards of all splits, each image read again in the order of the records.

    Args:
        root: The image tree.
        directory: Directory of the span, which gets a directory per split.
        splits: Images by split, in the order of the records.
        parameters: How to crop, perturb and encode.
        executor: Worker processes; None works in this one.
        progress: Called with (done, total, description).

    Returns:
        Manifest.splits, the bytes of all encoded images, and Manifest.perturbed.

    Raises:
        RuntimeError: if a file changed since it was checked.
    """
    total = sum(len(splits[name]) for name in SPLITS)
    written: dict[str, dict[str, Any]] = {}
    encoded_bytes, done = 0, 0
    perturbed: Counter[str] = Counter()
    # One stream of records over all splits, so that workers never wait for the end of a split.
    order = [image for name in SPLITS for image in splits[name]]
    tasks = chunks(order, _WRITTEN_AT_A_TIME)
    task = partial(_encode_some, root, parameters)
    batches = ordered_map(task, tasks, parameters.workers if executor else 1, executor)
    records = (record for batch in batches for record in batch)
    for name in SPLITS:
        (directory / name).mkdir()
        members = splits[name]
        shards = chunks(members, parameters.shard_size) or [()]
        files = [f"examples-{number:05d}-of-{len(shards):05d}.tfrecord.gz" for number in range(len(shards))]
        for file, shard in zip(files, shards, strict=True):
            with RecordWriter(directory / name / file) as writer:
                for _ in shard:
                    record = next(records)
                    writer.write(record.example)
                    encoded_bytes += record.image_bytes
                    perturbed.update(record.perturbations)
                    done += 1
                    if progress is not None:
                        progress(done, total, f"writing {name}")
        written[name] = {
            "images": len(members),
            "bytes": sum((directory / name / file).stat().st_size for file in files),
            "shards": files,
            "sources": dict(sorted(Counter(image.source.name for image in members).items())),
        }
    return written, encoded_bytes, dict(sorted(perturbed.items()))


def _encode_some(root: Path, parameters: PreparationParameters, images: Sequence[CheckedImage]) -> list[EncodedRecord]:
    """Encodes some images as tf.Examples (what one worker does at a time)."""
    return [_encode(root, parameters, image) for image in images]


def _encode(root: Path, parameters: PreparationParameters, image: CheckedImage) -> EncodedRecord:
    """Encodes one image as a tf.Example.

    Raises:
        RuntimeError: if the file is not what the first pass saw.
    """
    try:
        data = file_of(root, image.path).read_bytes()
    except OSError as error:
        raise RuntimeError(f"{root / image.path}: cannot be read any more: {error.strerror}. Run again.") from error
    if hashlib.sha256(data).hexdigest() != image.file_sha256:
        raise RuntimeError(f"{root / image.path}: changed while the dataset was being written. Run again.")
    perturbations, perturb = _draw_perturbations(parameters, image.path)
    if perturbations or parameters.recompress is not None or not image.verbatim:
        decoded = decode_image(data, parameters.max_image_pixels)
        pixels = crop_pixels(decoded.pixels, parameters.size, parameters.crop)
        if hash_pixels(pixels) != image.content_sha256:
            raise RuntimeError(f"{root / image.path}: gave other pixels when decoded again. Check memory and disk.")
        pixels = perturb(pixels)
        data = encode_png(pixels) if parameters.recompress is None else encode_alike(pixels, parameters.recompress)
    applied = tuple(perturbation.name for perturbation in perturbations)
    example = encode_example(
        {
            names.IMAGE_BYTES: data,
            names.LABEL: image.source.label,
            names.SOURCE: image.source.name.encode(),
            names.ARCHITECTURE: names.architecture_of(image.source.name).encode(),
            names.PATH: image.path.encode(),
            names.FORMAT: image.format.encode(),
            names.HEIGHT: parameters.size,
            names.WIDTH: parameters.size,
            names.GIVEN_HEIGHT: image.height,
            names.GIVEN_WIDTH: image.width,
            names.COLOUR_MODE: image.colour_mode.encode(),
            names.COMPRESSION: image.compression.encode(),
            names.RECOMPRESSION: parameters.recompress if isinstance(parameters.recompress, int) else 0,
            names.PERTURBATION: names.perturbation_of(applied).encode(),
        }
    )
    return EncodedRecord(example, len(data), applied)


def _draw_perturbations(
    parameters: PreparationParameters, path: str
) -> tuple[tuple[Perturbation, ...], Callable[[np.ndarray], np.ndarray]]:
    """Draws an image's perturbations from its own stream; returns them and what applies them to its pixels."""
    if parameters.perturb == "none":
        return (), lambda pixels: pixels
    parts = ("perturb", parameters.seed, path)
    if parameters.perturb_mode == "reference":
        legacy = reference_stream(*parts)
        published = draw_reference(parameters.perturb, legacy)
        return published, lambda pixels: apply_reference(pixels, published, legacy)
    random = stream(*parts)
    perturbations = draw_perturbations(parameters.perturb, random)
    return perturbations, lambda pixels: apply_perturbations(pixels, perturbations, random)
