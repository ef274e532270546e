"""Writers of predictions (a table for people, CSV for spreadsheets, JSON lines for programs) and their summary."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TextIO

from serving import contract
from serving.client.predict import Row
from serving.names import printable, safe_text, spreadsheet_path, spreadsheet_text

_UNBOUNDED_WIDTH = 10_000

_STYLES = MappingProxyType(
    {
        contract.VERDICT_REAL: "green",
        contract.VERDICT_CONTRADICTION: "magenta",
        contract.VERDICT_UNKNOWN_GENERATOR: "yellow",
        contract.VERDICT_UNCERTAIN: "cyan",
    }
)


def write_jsonl(rows: Iterable[Row], stream: TextIO) -> None:
    """Write one JSON object per row, each as soon as it is known.

    {"path", "verdict", "fake_probability", "source_probabilities": {source: p}, "fake_probability_range"?, "error"?,
    "model"?}; where there is an
    error, verdict and fake_probability are null and source_probabilities is empty. A byte NN of a path that is not
    UTF-8 is written as \\udcNN, as Python's json and os.fsencode read it back.
    """
    for row in rows:
        stream.write(json.dumps(row.to_json()) + "\n")


def write_csv(rows: Iterable[Row], stream: TextIO) -> None:
    """Write path, verdict, fake_probability, one column per source, error.

    Cells are safe for spreadsheets and terminals, see serving.names. The columns are those of the first row with an
    answer; rows before it wait for it.

    Raises:
        ValueError: if a later row has a source that the first one had not, because the model changed meanwhile.
    """
    writer = csv.writer(stream, lineterminator="\n")
    waiting: list[Row] = []
    sources: list[str] | None = None
    for row in rows:
        if sources is None and row.answer is None:
            waiting.append(row)
            continue
        if sources is None:
            sources = list(row.source_probabilities)
            _write_csv_head(writer.writerow, sources, waiting)
        writer.writerow(_csv_values(row, sources))
    if sources is None:
        _write_csv_head(writer.writerow, [], waiting)


def write_table(rows: Iterable[Row], stream: TextIO) -> None:
    """Write an aligned table, coloured where the stream is a terminal, and a line of counts by verdict."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A file or a pipe has no width: nothing is folded to fit an imagined terminal.
    console = Console(file=stream, width=None if stream.isatty() else _UNBOUNDED_WIDTH, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("fake", justify="right", no_wrap=True)
    table.add_column("strongest source", overflow="fold")  # of an error its reason, which may be long
    counts: dict[str, int] = {}
    for row in rows:
        verdict = row.verdict or "error"
        counts[verdict] = counts.get(verdict, 0) + 1
        if row.answer is None:
            reason = safe_text(_one_line(row.error or ""))
            table.add_row(Text(printable(row.path)), Text("error", style="bold red"), "", Text(reason))
            continue
        table.add_row(
            Text(printable(row.path)),
            Text(safe_text(verdict), style=_STYLES.get(verdict, "red")),
            f"{row.answer.fake_probability:.3f}",
            Text(safe_text(_strongest(row.source_probabilities))),
        )
    console.print(table)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda item: -item[1]))
    console.print(Text(f"{sum(counts.values())} images: {summary or 'none'}"))


WRITERS: Mapping[str, Callable[[Iterable[Row], TextIO], None]] = MappingProxyType(
    {"table": write_table, "csv": write_csv, "jsonl": write_jsonl}
)


def summarise(verdicts: Iterable[str]) -> str:
    """Summarise verdicts in one line, in two where some are contradictions.

    Args:
        verdicts: Verdicts on the images that were judged.

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


def _write_csv_head(write: Callable[[list[object]], object], sources: list[str], waiting: list[Row]) -> None:
    write(["path", "verdict", "fake_probability", *map(spreadsheet_text, sources), "error"])
    for row in waiting:
        write(_csv_values(row, sources))


def _csv_values(row: Row, sources: list[str]) -> list[object]:
    unknown = [source for source in row.source_probabilities if source not in sources]
    if unknown:
        raise ValueError(
            f"{printable(row.path)}: answered with the sources {', '.join(unknown)}, which have no column: the model "
            "changed while it was asked. Ask again, or use --format jsonl."
        )
    probabilities = [row.source_probabilities.get(source, "") for source in sources]
    fake = "" if row.fake_probability is None else row.fake_probability
    verdict, error = spreadsheet_text(row.verdict or ""), spreadsheet_text(_one_line(row.error or ""))
    return [spreadsheet_path(row.path), verdict, fake, *probabilities, error]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _strongest(probabilities: Mapping[str, float]) -> str:
    if not probabilities:
        return ""
    source = max(probabilities, key=lambda name: probabilities[name])
    return f"{source} {probabilities[source]:.3f}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
