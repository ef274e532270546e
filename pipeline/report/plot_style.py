"""Drawing inline SVG that takes its colours from the page.

matplotlib draws with stand-in colours, which become CSS variables in the SVG: one picture serves a light page, a dark
page and a printed one. No text from outside (a source's name, a metric's) is ever drawn: it goes into the legend, which
the page writes beside the picture and escapes.
"""

import io
import re
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Names of CSS variables that the page defines. Series are told apart by colour and, where two belong together, by dash.
INK, GRID, NEGATIVE, POSITIVE = "ink", "line", "negative", "positive"
SERIES = tuple(f"series-{index}" for index in range(8))
# Stand-ins: 24-bit colours that nothing else in a figure has.
STAND_INS = {name: f"#01{index:02x}fe" for index, name in enumerate((INK, GRID, NEGATIVE, POSITIVE, *SERIES))}

LARGEST_SCALE = 1.4  # a wide page does not blow a plot's text up beyond this


@dataclass(frozen=True)
class LegendEntry:
    """What one line or area of a plot stands for.

    Attributes:
        label: its meaning; any text, escaped where it is written.
        colour: name of its CSS variable.
        dashed: whether its line is dashed.
    """

    label: str
    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Plot:
    """One picture.

    Attributes:
        svg: an `<svg>` element; safe to insert into a page as it is.
        legend: its entries, to be written beside it.
    """

    svg: str
    legend: tuple[LegendEntry, ...]


def figure_of(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a styled figure of that size in inches and its axes; a layout engine would double the time."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    left, right, bottom, top = 0.62, 0.12, 0.5, 0.1  # inches around the axes, for labels
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.set_facecolor("none")
    axes.grid(True, color=STAND_INS[GRID], linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(STAND_INS[GRID])
    axes.tick_params(colors=STAND_INS[INK], labelsize=8, length=0)
    axes.xaxis.label.set(color=STAND_INS[INK], fontsize=8.5)
    axes.yaxis.label.set(color=STAND_INS[INK], fontsize=8.5)
    return figure, axes


def svg_of(figure: Figure, key: str, alternative: str) -> str:
    """Writes a figure as an `<svg>` element of the page: no size of its own, colours and text style of the page."""
    buffer = io.StringIO()
    # A fixed salt: equal figures give equal text.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "text.parse_math": False}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    # Identifiers are unique in a page, not just in a picture; groups need none.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{key}-", text)
    text = re.sub(r' ?font-family: [^;"]*;', "", text)  # the page's own
    text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)  # a hundredth of a point is enough
    for name, colour in STAND_INS.items():
        text = text.replace(colour, f"var(--{name})")
    view_box = re.search(r'viewBox="[^"]*"', text)
    if view_box is None:
        raise ValueError("svg: matplotlib wrote no viewBox.")
    label = alternative.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    widest = figure.get_figwidth() * LARGEST_SCALE * 96  # CSS pixels an inch
    body = text[text.index(">") + 1 :]
    xlink = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    text = f'<svg {xlink} {view_box.group()} style="max-width: {widest:.0f}px" role="img" aria-label="{label}">{body}'
    return re.sub(r">\s+<", "><", re.sub(r"[ \t]*\n[ \t]*", " ", text)).strip()
