"""What was found, for people: one HTML file that needs nothing beside it, no network and no script."""

from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from components.monitoring.divergence import Divergence
from pipeline.monitoring.look import Look

# Classes of a column that are shown, the most frequent first.
_MOST_CLASSES = 16


def write_look(found: Look, path: Path) -> None:
    """Writes the report of one look.

    Raises:
        OSError: if the file cannot be written.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = resources.files("pipeline.report").joinpath("templates/monitoring.html").read_text("utf-8")
    text = environment.from_string(template)
    by_column = _by_column(found.divergences)
    totals = {
        column: [sum(counts) for counts in zip(*classes.values(), strict=True)]
        for column, classes in found.shares.items()
    }
    style = resources.files("pipeline.report").joinpath("templates/run.html").read_text("utf-8")
    content = text.render(
        found=found,
        by_column=by_column,
        shares={
            column: [
                (name, [count / total if total else None for count, total in zip(counts, totals[column], strict=True)])
                for name, counts in sorted(classes.items(), key=lambda item: -sum(item[1]))[:_MOST_CLASSES]
            ]
            for column, classes in found.shares.items()
        },
        style=Markup(style.partition("<style>")[2].partition("</style>")[0]),  # noqa: S704 - our own style sheet
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content.lstrip(), encoding="utf-8")


def _by_column(divergences: list[Divergence]) -> dict[str, dict[str, Divergence]]:
    found: dict[str, dict[str, Divergence]] = {}
    for each in divergences:
        found.setdefault(each.column, {})[each.kind] = each
    return found
