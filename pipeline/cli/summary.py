"""What verdicts come to: how many are synthesised, how many of them attributed, how many uncertain or contradictory."""

from collections import Counter
from collections.abc import Iterable

from serving import contract


def summarise(verdicts: Iterable[str]) -> str:
    """Puts verdicts into one line, two where some are contradictions.

    Args:
        verdicts: of the images that were judged.

    Returns:
        e.g. "4 images: 50.0 % fake, 25.0 % attributed to a source"; with contradictions, a second line that starts with
        "WARNING". Shares are of all images; a contradiction is called real and counts as neither fake nor attributed.
        Uncertain images, if there are any, are counted as such: ", 12.5 % uncertain".
    """
    counts = Counter(verdicts)
    images = counts.total()
    if not images:
        return "0 images judged"
    contradictions, unknown = counts[contract.VERDICT_CONTRADICTION], counts[contract.VERDICT_UNKNOWN_GENERATOR]
    uncertain = counts[contract.VERDICT_UNCERTAIN]
    attributed = images - counts[contract.VERDICT_REAL] - contradictions - unknown - uncertain
    fake = _share(attributed + unknown, images)
    lines = [f"{images:,} images: {fake} fake, {_share(attributed, images)} attributed to a source"]
    if uncertain:
        lines[0] += f", {_share(uncertain, images)} uncertain"
    if contradictions:
        lines.append(f"WARNING: {_share(contradictions, images)} called real by detection, yet claimed by a source")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
