"""The report on one day of a request log as one HTML file."""

from collections.abc import Mapping
from pathlib import Path

from components.monitoring.divergence import Divergence
from pipeline.monitoring.look import Look
from pipeline.report.page import render_page
from serving.atomic import naming_storage_errors

# Classes of a column that are shown, the most frequent first.
_MOST_CLASSES = 16


def write_look(found: Look, path: Path) -> None:
    """Write the report.

    Args:
        found: Outcome of the comparison.
        path: HTML file; its directory is created if it does not exist.

    Raises:
        OSError: If the file cannot be written.
    """
    content = render_page(
        "monitoring.html",
        found=found,
        by_column=_by_column(found.divergences),
        shares={column: _shares(classes) for column, classes in found.shares.items()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming_storage_errors(path):
        path.write_text(content, encoding="utf-8")


def _shares(classes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, list[float | None]]]:
    """Return the most frequent classes with their share of the images now, before and in the reference."""
    totals = [sum(counts) for counts in zip(*classes.values(), strict=True)]
    frequent = sorted(classes.items(), key=lambda item: -sum(item[1]))[:_MOST_CLASSES]
    return [
        (name, [count / total if total else None for count, total in zip(counts, totals, strict=True)])
        for name, counts in frequent
    ]


def _by_column(divergences: list[Divergence]) -> dict[str, dict[str, Divergence]]:
    found: dict[str, dict[str, Divergence]] = {}
    for each in divergences:
        found.setdefault(each.column, {})[each.kind] = each
    return found
