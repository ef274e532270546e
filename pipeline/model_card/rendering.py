"""A model card as Markdown, which a terminal shows as well, and as one HTML file that loads nothing."""

from collections.abc import Sequence

import jinja2

from pipeline.model_card.sections import Section, Table

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Model card: {{ title }}</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 1240px; padding: 0 20px 40px;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.7rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin-top: 32px; }
p, li { max-width: 90ch; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 6px 8px; opacity: .8; overflow-wrap: anywhere; }
th, td { padding: 6px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid #8885; }
</style>
</head>
<body>
<h1>Model card: {{ title }}</h1>
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
{% for sentence in section.sentences %}<p>{{ sentence }}</p>
{% endfor %}
{% if section.points %}<ul>{% for point in section.points %}<li>{{ point }}</li>{% endfor %}</ul>{% endif %}
{% for table in section.tables %}
<div class="scroll" tabindex="0" role="region" aria-label="{{ table.title }}"><table>
<caption>{{ table.title }}</caption>
<thead><tr>{% for heading in table.headings %}<th scope="col">{{ heading }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endfor %}
</section>
{% endfor %}
</body>
</html>
"""


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
    """Returns a card as one HTML document; whatever comes from outside is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_PAGE).render(title=title, sections=sections) + "\n"


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
