"""What a prepared dataset consists of, what was left out, and why: manifest.json."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from components.dataset.images import CheckedImage
from components.dataset.splits import SPLITS
from components.dataset.tree import Candidate, Ignored, Rejection, Tree
from serving.contract import FAKE_LABEL

FILE_NAME = "manifest.json"
FORMAT_VERSION = 2  # raise it when datasets of the same input and parameters change
# Older formats that are read as well -> the values of the fields that they lack.
_OLDER_FORMATS: dict[int, dict[str, Any]] = {1: {"confounds": {}}}

_FATES = ("accepted", "rejected", "duplicates", "ignored")
_USES = (*SPLITS, "unused")
_NOTED = ("mislabelled", "stored_again")


@dataclass(frozen=True)
class RejectedFile:
    """A file that was left out: its path in the image tree, the reason's code (tree.Reason), and a sentence."""

    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Manifest:
    """The account of one prepared dataset.

    Attributes:
        format_version: of this file and of the dataset beside it.
        span: number of the dataset.
        parameters: those that decide what the dataset holds (the number of workers does not).
        inputs_digest: SHA-256 over path and content of every file that was considered.
        digest: SHA-256 over content and split of every image in the dataset.
        totals: found = accepted + rejected + duplicates + ignored; accepted = train + eval + test + testonly + unused.
        sources: the same counts for each source, with `class`, `label`, `trained` (false for test-only sources),
            `mislabelled` (accepted though extension and content disagree), `stored_again` (encoded again as PNG, since
            the served graph's decoder does not take the file), and of accepted images `formats` ({"PNG": n}) and
            `sizes` ({"256x256": n}: width x height as given).
        splits: for each split its `images`, `bytes`, `shards` (file names) and `sources` ({name: images}).
        perturbed: how often each perturbation was applied.
        bytes: `given` (accepted files as they came), `encoded_images` (as stored), `dataset` (the shards).
        rejected: every rejected file.
        duplicates: {"path", "duplicate_of"} of each image whose pixels another has.
        ignored: paths of hidden files and clutter.
        images: for each split {"path", "source", "sha256"} of its images; the hash is that of the pixels before any
            perturbation. An image that was stored again has the decoder's reason as "stored_again".
        confounds: what tells real from fake beside the picture: `figures` (see components.dataset.confounds), the
            `action` and `limit` that were asked for, and the sentences that follow: `warnings` (also among the
            dataset's) and `notes` (masked by recompression).
        warnings: sentences about what is allowed but seldom wanted.
    """

    format_version: int
    span: int
    parameters: dict[str, Any]
    inputs_digest: str
    digest: str
    totals: dict[str, int]
    sources: dict[str, dict[str, Any]]
    splits: dict[str, dict[str, Any]]
    perturbed: dict[str, int]
    bytes: dict[str, int]
    rejected: list[RejectedFile]
    duplicates: list[dict[str, str]]
    ignored: list[str]
    images: dict[str, list[dict[str, str]]]
    confounds: dict[str, Any]
    warnings: list[str]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a manifest.

        Args:
            path: the file, or the span's directory.

        Raises:
            ValueError: if there is none, or it is not one that this version reads.
        """
        file = path / FILE_NAME if path.is_dir() else path
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{file}: cannot be read: {error.strerror}. Was the dataset made by 'prepare'?") from error
        except ValueError as error:
            raise ValueError(f"{file}: is not JSON: {error}") from error
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version in _OLDER_FORMATS:
            content = {**_OLDER_FORMATS[version], **content}
        elif version != FORMAT_VERSION:
            content = {}
        if set(content) != {field.name for field in fields(cls)}:
            known = ", ".join(map(str, (*_OLDER_FORMATS, FORMAT_VERSION)))
            raise ValueError(f"{file}: is not a dataset manifest of format {known}. Prepare the dataset again.")
        return cls(**{**content, "rejected": [RejectedFile(**item) for item in content["rejected"]]})

    def save(self, directory: Path) -> None:
        """Writes manifest.json into a directory."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (directory / FILE_NAME).write_text(text, encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Returns the manifest as plain values for JSON."""
        return asdict(self)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images in the dataset by split, then source; a source without any in a split is not there."""
        return {name: split["sources"] for name, split in self.splits.items()}

    @property
    def labels(self) -> dict[str, int]:
        """Label of each source: 0 real, 1 fake."""
        return {name: source["label"] for name, source in self.sources.items()}

    @property
    def formats(self) -> dict[str, dict[str, int]]:
        """Accepted images by source, then format as given."""
        return {name: source["formats"] for name, source in self.sources.items()}

    @property
    def rejected_by_reason(self) -> dict[str, int]:
        """Rejected files by reason, the most frequent first."""
        return dict(Counter(item.reason for item in self.rejected).most_common())

    def summary(self) -> dict[str, Any]:
        """Returns the account without the lists of files, as plain values for JSON."""
        return {
            "span": self.span,
            "digest": self.digest,
            "totals": self.totals,
            "sources": self.sources,
            "rejected": self.rejected_by_reason,
            "perturbed": self.perturbed,
            "bytes": self.bytes,
            "confounds": self.confounds,
            "warnings": self.warnings,
        }


def newest_span(dataset: Path) -> int | None:
    """Returns the highest number of the spans in a dataset's directory, None if there is none."""
    spans = (re.fullmatch(r"span-(\d+)", entry.name) for entry in dataset.glob("span-*") if entry.is_dir())
    return max((int(match[1]) for match in spans if match), default=None)


def digest_of_inputs(hashes: Mapping[str, str], others: Iterable[str]) -> str:
    """Returns one SHA-256 for all that was considered.

    Args:
        hashes: for each file that has an image's name its path and the hash of its content, or why that was not read.
        others: paths of all other entries.
    """
    digest = hashlib.sha256()
    for path in sorted(hashes):
        digest.update(f"{path}\0{hashes[path]}\n".encode())
    for path in sorted(others):
        digest.update(f"{path}\n".encode())
    return digest.hexdigest()


def digest_of_splits(splits: Mapping[str, Iterable[CheckedImage]]) -> str:
    """Returns one SHA-256 for which content stands in which split."""
    lines = sorted(f"{image.content_sha256} {split}" for split in SPLITS for image in splits[split])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def count_sources(
    tree: Tree,
    rejections: Iterable[Rejection],
    duplicates: Iterable[CheckedImage],
    splits: Mapping[str, Iterable[CheckedImage]],
) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Counts what became of every entry that was found, in total and for each source.

    Args:
        tree: what was found.
        rejections: all of them, those of the tree included.
        duplicates: images that were dropped because another has their pixels.
        splits: accepted images, "unused" included.

    Returns:
        Manifest.totals and Manifest.sources.

    Raises:
        RuntimeError: if the counts do not add up, i.e. a file was lost or counted twice.
    """
    totals: Counter[str] = Counter()
    by_source: dict[str, Counter[str]] = {source.name: Counter() for source in tree.sources}
    formats: dict[str, Counter[str]] = {source.name: Counter() for source in tree.sources}
    sizes: dict[str, Counter[str]] = {source.name: Counter() for source in tree.sources}

    def count(name: str | None, what: str) -> None:
        totals[what] += 1
        if name is not None:
            by_source[name][what] += 1

    found: tuple[Candidate | Rejection | Ignored, ...] = (*tree.candidates, *tree.rejections, *tree.ignored)
    for entry in found:
        count(entry.source.name if entry.source else None, "found")
    for rejection in rejections:
        count(rejection.source.name if rejection.source else None, "rejected")
    for ignored in tree.ignored:
        count(ignored.source.name if ignored.source else None, "ignored")
    for duplicate in duplicates:
        count(duplicate.source.name, "duplicates")
    for use in _USES:
        for image in splits[use]:
            name = image.source.name
            count(name, use)
            count(name, "accepted")
            formats[name][image.format] += 1
            sizes[name][f"{image.width}x{image.height}"] += 1
            if image.mislabelled:
                count(name, "mislabelled")
            if image.graph_refusal and use in SPLITS:
                count(name, "stored_again")

    sources = {}
    for source in tree.sources:
        counts = by_source[source.name]
        sources[source.name] = {
            "class": "fake" if source.label == FAKE_LABEL else "real",
            "label": source.label,
            "trained": not source.testonly,
            **{what: counts[what] for what in ("found", *_FATES, *_USES, *_NOTED)},
            "formats": dict(sorted(formats[source.name].items())),
            "sizes": dict(sorted(sizes[source.name].items())),
        }
        _check_sums(source.directory, counts)
    _check_sums("all sources", totals)
    return {what: totals[what] for what in ("found", *_FATES, *_USES, *_NOTED)}, sources


def _check_sums(name: str, counts: Mapping[str, int]) -> None:
    """Raises RuntimeError if the counts of a source do not add up."""
    for whole, parts in (("found", _FATES), ("accepted", _USES)):
        if counts[whole] != sum(counts[part] for part in parts):
            raise RuntimeError(
                f"{name}: counts do not add up: {counts[whole]} {whole}, but "
                + " + ".join(f"{counts[part]} {part}" for part in parts)
                + ". Did files change during the run? Run it again."
            )
