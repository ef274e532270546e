"""Numbers as the report writes them: never rounded to a claim that they do not make, a dash where there is none."""

import math

MISSING = "\u2013"  # an en dash
_THIN_SPACE = "\u202f"  # narrow and unbreakable, between a number and its unit


def number(value: float | None, digits: int = 3) -> str:
    """Returns a number with so many decimals; 0.99996 is ">0.999" and not "1.000", which is kept for 1.

    Example:
        >>> number(0.98765), number(0.99996), number(1.0), number(float("nan"))
        ('0.988', '>0.999', '1.000', '\u2013')
    """
    if value is None or math.isnan(value):
        return MISSING
    step = 10.0**-digits
    if 1 - step / 2 <= value < 1:
        return f">{1 - step:.{digits}f}"
    if 0 < value < step / 2:
        return f"<{step:.{digits}f}"
    return f"{value:.{digits}f}"


def quantity(value: float | None) -> str:
    """Returns a number that may be a rate or a count: whole numbers beyond 1 have no decimals.

    Example:
        >>> quantity(0.5), quantity(1.0), quantity(1234.0)
        ('0.500', '1.000', '1,234')
    """
    if value is not None and value > 1 and float(value).is_integer():
        return f"{value:,.0f}"
    return number(value)


def share(value: float | None) -> str:
    """Returns a share of 0..1 in percent; 0.9996 is ">99.9", 100 is kept for all.

    Example:
        >>> share(0.5), share(0.9996), share(1.0), share(None)
        ('50\u202f%', '>99.9\u202f%', '100\u202f%', '\u2013')
    """
    if value is None or math.isnan(value):
        return MISSING
    percent = value * 100
    if percent in (0, 100):
        text = f"{percent:.0f}"
    elif percent > 99.9:
        text = ">99.9"
    elif percent < 0.1:
        text = "<0.1"
    else:
        text = f"{percent:.1f}" if percent >= 99 or percent < 1 else f"{percent:.0f}"
    return f"{text}{_THIN_SPACE}%"


def signed(drop: float | None) -> str:
    """Return by how much a figure changed: a drop of 0.25 is a change of minus 0.250.

    Example:
        >>> signed(0.25), signed(-0.1), signed(0.0), signed(None)
        ('\u22120.250', '+0.100', '\u00b10', '\u2013')
    """
    if drop is None:
        return MISSING
    return "\u00b10" if abs(drop) < 0.0005 else f"{-drop:+.3f}".replace("-", "\u2212")


def count(value: int | None) -> str:
    """Returns a count with thousands separated, e.g. 12,345."""
    return MISSING if value is None else f"{value:,}"


def duration(seconds: float | None) -> str:
    """Returns a time with the precision that a reader needs.

    Example:
        >>> duration(0.42), duration(75), duration(3900)
        ('0.4\u202fs', '1\u202fmin 15\u202fs', '1\u202fh 05\u202fmin')
    """
    if seconds is None or math.isnan(seconds):
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f}{_THIN_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_THIN_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{_THIN_SPACE}min {whole % 60:02}{_THIN_SPACE}s"
    return f"{whole // 3600}{_THIN_SPACE}h {whole % 3600 // 60:02}{_THIN_SPACE}min"


def enumeration(names: list[str], limit: int = 6) -> str:
    """Returns names with commas between them, the first `limit` and how many more there are."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
