"""Rows of a confusion matrix of verdicts: what the servable said of the images of each source."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving import contract


@dataclass(frozen=True)
class VerdictCell:
    """One cell of the confusion matrix: images, their share of the row, and whether this is the right verdict."""

    images: int
    share: float
    right: bool


@dataclass(frozen=True)
class VerdictRow:
    """One row of the confusion matrix: true source, number of its images, a cell per verdict."""

    name: str
    images: int
    cells: tuple[VerdictCell, ...]


def verdict_rows(
    sources: Sequence[str], verdicts: Sequence[str], counts: Sequence[Sequence[int]]
) -> tuple[VerdictRow, ...]:
    """Return the rows of a confusion matrix.

    Args:
        sources: True sources, one per row.
        verdicts: Verdicts, one per column.
        counts: Number of images [rows][columns].
    """
    rows = []
    for source, row in zip(sources, counts, strict=True):
        total = sum(row)
        # The right verdict on a generator that no head knows is to say so.
        right = source if source in verdicts else contract.VERDICT_UNKNOWN_GENERATOR
        cells = tuple(
            VerdictCell(images, images / total if total else 0.0, verdict == right)
            for verdict, images in zip(verdicts, row, strict=True)
        )
        rows.append(VerdictRow(source, total, cells))
    return tuple(rows)
