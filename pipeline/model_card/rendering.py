"""A model card as Markdown, which a terminal shows as well, and as one HTML file that loads nothing."""

import re
from collections.abc import Sequence

from pipeline.model_card.sections import Section, Table
from pipeline.report.page import render_page

# A number as `pipeline.report.text` writes it, a range of two, or a dash.
_NUMBER = re.compile(r"[<>+\u2212-]?[\d.,]+(\u202f%)?( to [<>]?[\d.,]+)?|\u2013|")


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """Returns a card as Markdown; the columns of its tables are aligned, so that it can be read as it is."""
    lines = [f"# Model card: {_line(title)}", ""]
    for section in sections:
        lines += [f"## {_line(section.title)}", ""]
        for sentence in section.sentences:
            lines += [_line(sentence), ""]
        if section.points:
            lines += [*(f"- {_line(point)}" for point in section.points), ""]
        for table in section.tables:
            lines += [f"{_line(table.title)}:", "", *_markdown_table(table), ""]
    return "\n".join(lines)


def as_html(title: str, sections: Sequence[Section]) -> str:
    """Return a card as one HTML document; whatever comes from outside is escaped."""
    return render_page("model_card.html", title=title, sections=sections, numeric_columns=_numeric_columns)


def _numeric_columns(table: Table) -> list[bool]:
    """Return for each column whether all its cells are numbers, which are aligned at the right."""
    columns = zip(table.headings, *table.rows, strict=True)
    return [all(_NUMBER.fullmatch(cell) for cell in cells) for _, *cells in columns]


def _markdown_table(table: Table) -> list[str]:
    rows = [[_line(cell).replace("|", "\\|") for cell in row] for row in (table.headings, *table.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headings))]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]]


def _line(text: str) -> str:
    """Returns text on one line: a line break would end a table's row, or begin a heading."""
    return " ".join(text.split(None)) if "\n" in text or "\r" in text else text
