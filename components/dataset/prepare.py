"""From an image tree to a dataset: TFRecord files of encoded images, and the account of what became of every file.

Two passes, both in worker processes. The first decodes every file, rejects what cannot be used, and keeps hashes, no
pixels; from these the splits follow. The second reads each image again, in the order of the records, and writes. So
memory does not grow with the images, and the result does not depend on the number of workers. It is written to a hidden
directory and renamed at the end: a span is either whole or not there.
"""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from components.dataset.confounds import Confound, GivenFile, judge_confounds, measure_confounds
from components.dataset.images import CheckedImage, check_image, hash_file
from components.dataset.manifest import (
    FORMAT_VERSION,
    Manifest,
    RejectedFile,
    count_sources,
    digest_of_inputs,
    digest_of_splits,
)
from components.dataset.parameters import PreparationParameters
from components.dataset.pool import Progress, chunks, ordered_map, useful_workers, worker_pool
from components.dataset.reference_splits import assign_reference_splits
from components.dataset.shards import write_splits
from components.dataset.splits import SPLITS, TRAINED_SPLITS, assign_splits, drop_duplicates
from components.dataset.tree import Candidate, Rejection, Tree, scan_tree
from components.errors import StepRefusedError
from serving import atomic

_CHECKED_AT_A_TIME = 32
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare(images: Path, out: Path, parameters: PreparationParameters, progress: Progress | None = None) -> Manifest:
    """Writes `<out>/span-<N>/{train,eval,test,testonly}/examples-*.tfrecord.gz` and `manifest.json`.

    Each split has at least one file, if need be without records. The records' features are those of
    components.examples.names. An image is stored as the bytes that came, if these are a PNG or JPEG of the right size,
    else cropped, as PNG; with `recompress`, all are encoded alike. A file that cannot be used is rejected with a reason
    in the manifest and never ends the run.

    Args:
        images: image tree (see tree.py).
        out: directory of the dataset; spans of other numbers in it stay untouched.
        parameters: how to prepare.
        progress: called with (done, total, description).

    Returns:
        The manifest. If the span exists and was made of the same files with the same parameters, nothing is written.

    Raises:
        ValueError: if the tree lacks a class, a source cannot fill the splits asked for, or the span exists and was
            made of something else.
        RuntimeError: if files change while they are being read.
        OSError: if the span cannot be written; its directory is named, and nothing is left there.
        StepRefusedError: if something beside the picture tells real from fake and parameters.confound is "fail".
    """
    span = out / f"span-{parameters.span}"
    if out.resolve().is_relative_to(images.resolve()):
        raise ValueError(f"{out}: lies inside the image tree {images}. Choose a directory outside.")
    tree = scan_tree(images)
    if span.exists():
        return _existing_span(span, tree, parameters)
    with worker_pool(useful_workers(len(tree.candidates), parameters.workers)) as executor:
        return _write_span(span, tree, parameters, executor, progress)


def _write_span(
    span: Path,
    tree: Tree,
    parameters: PreparationParameters,
    executor: ProcessPoolExecutor | None,
    progress: Progress | None,
) -> Manifest:
    """Check all images, write the span, and return its manifest."""
    checked, rejections, hashes = _check_images(tree, parameters, executor, progress)
    kept, duplicates, conflicts = drop_duplicates(checked)
    rejections = sorted((*tree.rejections, *rejections, *conflicts), key=lambda item: item.path)
    try:
        assign = assign_reference_splits if parameters.split_order == "reference" else assign_splits
        splits = assign(kept, parameters)
    except ValueError as error:
        raise ValueError(f"{tree.root}: {error} {_most_common_reasons(rejections)}".rstrip()) from None
    confounds = _report_confounds(_measure_confounds(splits), parameters)
    totals, sources = count_sources(tree, rejections, [duplicate for duplicate, _ in duplicates], splits)

    with _nothing_left(span), atomic.create_directory(span, sole_writer=True) as unfinished:
        written, encoded_bytes, perturbed = write_splits(tree.root, unfinished, splits, parameters, executor, progress)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            span=parameters.span,
            parameters=_what_counts(parameters),
            inputs_digest=_digest_inputs(tree, hashes),
            digest=digest_of_splits(splits),
            totals=totals,
            sources=sources,
            splits=written,
            perturbed=perturbed,
            bytes={
                "given": sum(image.file_bytes for split in SPLITS for image in splits[split]),
                "encoded_images": encoded_bytes,
                "dataset": sum(split["bytes"] for split in written.values()),
            },
            rejected=[RejectedFile(item.path, item.reason.value, item.detail) for item in rejections],
            duplicates=[
                {"path": duplicate.path, "duplicate_of": first.path}
                for duplicate, first in sorted(duplicates, key=lambda pair: pair[0].path)
            ],
            ignored=sorted(item.path for item in tree.ignored),
            images={
                name: [_describe_image(image) for image in sorted(splits[name], key=lambda image: image.path)]
                for name in SPLITS
            },
            confounds=confounds,
            warnings=[*_warnings(sources, parameters), *confounds["warnings"]],
        )
        manifest.save(unfinished)
    return manifest


@contextmanager
def _nothing_left(span: Path) -> Iterator[None]:
    """Remove the directories that were made for a span that fails, and name it in errors of too little room.

    Raises:
        OSError: If the disk is full, or a quota or the largest size of a file is reached.
    """
    made = [directory for directory in span.parents if not directory.exists()]
    try:
        yield
    except BaseException as error:
        for directory in made:
            with suppress(OSError):  # of another span by now
                directory.rmdir()
        if not isinstance(error, OSError) or (error.filename is not None and error.errno not in _NO_ROOM):
            raise
        raise OSError(
            f"{span}: cannot be written: {error.strerror or error}. What was written is removed again. Make room "
            "there, or choose another directory."
        ) from error


def _describe_image(image: CheckedImage) -> dict[str, str]:
    """Return the entry of Manifest.images."""
    entry = {"path": image.path, "source": image.source.name, "sha256": image.content_sha256}
    return {**entry, "stored_again": image.graph_refusal} if image.graph_refusal else entry


def _existing_span(span: Path, tree: Tree, parameters: PreparationParameters) -> Manifest:
    """Returns the manifest of a span that is what would be made now; refuses any other."""
    manifest = Manifest.load(span)
    if manifest.format_version != FORMAT_VERSION:
        raise ValueError(
            f"{span}: exists in format {manifest.format_version}, today's is {FORMAT_VERSION}. It can be read as it "
            f"is; to make it anew choose another span, e.g. {parameters.span + 1}, or delete it."
        )
    same_parameters = manifest.parameters == _what_counts(parameters)
    if same_parameters:
        hashes = {candidate.path: hash_file(tree.root, parameters, candidate) for candidate in tree.candidates}
        if manifest.inputs_digest == _digest_inputs(tree, hashes):
            # The figures are recorded; action and limit may be new.
            figures = [Confound.from_dict(figure) for figure in manifest.confounds["figures"]]
            confounds = _report_confounds(figures, parameters)
            others = [warning for warning in manifest.warnings if warning not in manifest.confounds["warnings"]]
            return replace(manifest, confounds=confounds, warnings=[*others, *confounds["warnings"]])
    what = "other files" if same_parameters else "other parameters"
    raise ValueError(
        f"{span}: exists and was made of {what}. Choose another span, e.g. {parameters.span + 1}, or delete it."
    )


def _check_images(
    tree: Tree,
    parameters: PreparationParameters,
    executor: ProcessPoolExecutor | None,
    progress: Progress | None,
) -> tuple[list[CheckedImage], list[Rejection], dict[str, str]]:
    """First pass: returns usable images, rejections, and each candidate's file hash (or why it was not read)."""
    checked: list[CheckedImage] = []
    rejections: list[Rejection] = []
    hashes: dict[str, str] = {}
    done = 0
    task = partial(_check_some, tree.root, parameters)
    workers = parameters.workers if executor else 1
    for results in ordered_map(task, chunks(tree.candidates, _CHECKED_AT_A_TIME), workers, executor):
        for result, file_hash in results:
            hashes[result.path] = file_hash
            if isinstance(result, CheckedImage):
                checked.append(result)
            else:
                rejections.append(result)
        done += len(results)
        if progress is not None:
            progress(done, len(tree.candidates), "checking images")
    return checked, rejections, hashes


def _check_some(
    root: Path, parameters: PreparationParameters, candidates: Sequence[Candidate]
) -> list[tuple[CheckedImage | Rejection, str]]:
    """Checks some images (what one worker does at a time)."""
    results: list[tuple[CheckedImage | Rejection, str]] = []
    for candidate in candidates:
        result = check_image(root, parameters, candidate)
        if isinstance(result, CheckedImage):
            results.append((result, result.file_sha256))
        else:
            results.append((result, hash_file(root, parameters, candidate)))
    return results


def _what_counts(parameters: PreparationParameters) -> dict[str, Any]:
    """Returns the parameters that decide what the dataset holds."""
    irrelevant = {"workers", "span", "confound", "confound_limit", "max_loss"}
    if parameters.perturb == "none":
        irrelevant.add("perturb_mode")
    return parameters.model_dump(exclude=irrelevant)


def _digest_inputs(tree: Tree, hashes: dict[str, str]) -> str:
    others = [*(item.path for item in tree.rejections), *(item.path for item in tree.ignored)]
    return digest_of_inputs(hashes, others)


def _measure_confounds(splits: dict[str, list[CheckedImage]]) -> list[Confound]:
    """Measure what tells real from fake beside the picture, on the files as given of the trained splits."""
    return measure_confounds(
        GivenFile(image.source.label, image.format, image.compression, (image.width, image.height), image.colour_mode)
        for name in TRAINED_SPLITS
        for image in splits[name]
    )


def _report_confounds(confounds: list[Confound], parameters: PreparationParameters) -> dict[str, Any]:
    """Return Manifest.confounds.

    Raises:
        StepRefusedError: if a property tells the classes apart and the action is "fail".
    """
    # "png" leaves the pixels as they are, and with them the traces of whatever JPEG they went through.
    recompressed = isinstance(parameters.recompress, int)
    report = judge_confounds(confounds, parameters.confound_parameters, recompressed)
    if report.warnings and parameters.confound == "fail":
        raise StepRefusedError(
            "real and fake images differ in more than the picture:\n  "
            + "\n  ".join(report.warnings)
            + "\nNothing was written. Change the images or the parameters, or only warn: set `confound` to warn."
        )
    return report.to_dict()


def _most_common_reasons(rejections: Sequence[Rejection]) -> str:
    """Says why files were rejected, for an error about there being too few."""
    reasons = Counter(rejection.reason.value for rejection in rejections).most_common(3)
    if not reasons:
        return ""
    example = rejections[0]
    return (
        f"Rejected: {', '.join(f'{count:,} {reason}' for reason, count in reasons)}; "
        f"e.g. {example.path} {example.detail}."
    )


def _warnings(sources: dict[str, dict[str, Any]], parameters: PreparationParameters) -> list[str]:
    """Returns sentences about sources that have nothing in a split that was asked for."""
    found = []
    for name, counts in sources.items():
        missing = (
            [split for split in TRAINED_SPLITS if getattr(parameters, split) and not counts[split]]
            if counts["trained"]
            else [split for split in ("testonly",) if not counts[split]]
        )
        if missing:
            found.append(f"source '{name}' has no image in {', '.join(missing)} ({counts['accepted']} usable)")
    return found
