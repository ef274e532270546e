"""Sources that lost more of their images in preparation than a limit allows."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from components.dataset.manifest import Manifest, RejectedFile
from components.dataset.tree import Reason

# Files that stand beside images and are none. Whatever else has no image's name may be an image of another format.
_SIDECARS = frozenset({".csv", ".db", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".pdf", ".sha256", ".tsv"})
_SIDECARS |= {".txt", ".url", ".xml", ".xmp", ".yaml", ".yml", ".zip"}
_SOURCE = re.compile(r"[^/]+/([^/]+)/")  # <class>/<source>/ at the start of a path


@dataclass(frozen=True)
class Loss:
    """A source and the images that were rejected from it.

    Attributes:
        source: Its name.
        images: Images found in it: used, unused, duplicate or rejected.
        rejected: Images rejected.
        share: Rejected of all images, 0..1.
        reasons: Rejected images by reason, the most frequent first.
    """

    source: str
    images: int
    rejected: int
    share: float
    reasons: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return f"source '{self.source}' lost {self.rejected:,} of {self.images:,} images ({self.share:.0%}): {reasons}"


def find_losses(manifest: Manifest, limit: float) -> list[Loss]:
    """Find the sources that lost more than a share of their images.

    Args:
        manifest: Account of the dataset.
        limit: Largest share that may be rejected, 0..1; 1 finds nothing.

    Returns:
        The sources in question, by name. Notes and tables beside the images do not count as images.
    """
    reasons: dict[str, Counter[str]] = {name: Counter() for name in manifest.sources}
    others: Counter[str] = Counter()
    for file in manifest.rejected:
        match = _SOURCE.match(file.path)
        if match is None or match[1] not in reasons:  # outside of every source
            continue
        if _is_sidecar(file):
            others[match[1]] += 1
        else:
            reasons[match[1]][file.reason] += 1
    losses = []
    for name, counts in sorted(manifest.sources.items()):
        images = counts["found"] - counts["ignored"] - others[name]
        rejected = reasons[name].total()
        if rejected > limit * images:
            by_frequency = dict(reasons[name].most_common())
            losses.append(Loss(name, images, rejected, rejected / images, by_frequency))
    return losses


def _is_sidecar(file: RejectedFile) -> bool:
    return file.reason == Reason.EXTENSION and PurePosixPath(file.path).suffix.lower() in _SIDECARS
