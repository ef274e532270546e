"""HTML pages from the templates of the reports.

A page is one file that needs nothing beside it, no network and no script. Whatever comes from outside (names of
sources, paths, messages, the configuration) is escaped; pictures and the style sheet are inside the file; a content
security policy forbids everything else.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from pipeline.report import text

if TYPE_CHECKING:
    from pipeline.report.plot_style import Plot  # matplotlib comes with it, and pages without plots do without

# Cards of plots that stand open; the rest is one click away, which keeps a page of a hundred sources usable.
CARDS_SHOWN = 12


def render_page(template: str, **values: Any) -> str:
    """Render one HTML document; equal values give equal text.

    Args:
        template: Name of a template that extends base.html.
        values: Variables of the template; each that it uses must be given.
    """
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["cards_shown"] = CARDS_SHOWN
    environment.filters.update(
        number=text.number,
        quantity=text.quantity,
        share=text.share,
        signed=text.signed,
        count=text.count,
        duration=text.duration,
        breakable=_breakable,
        svg=_svg,
    )
    return environment


def _breakable(name: str) -> Markup:
    """Let a long name break after its underscores."""
    return Markup("_<wbr>").join(str(name).split("_"))  # join escapes what it joins


def _svg(plot: "Plot") -> Markup:
    return Markup(plot.svg)  # noqa: S704 - our own drawing: text from outside is in its legend, which is escaped
