"""What was found, as Prometheus reads it."""

import threading
import time
from typing import TYPE_CHECKING

from serving.server.telemetry.exposition import Family

if TYPE_CHECKING:
    from pipeline.monitoring.look import Look


class Gauges:
    """All metrics of one monitor; readable from any thread at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found = ""
        self._looks = Family(
            "generator_attribution_monitor_looks_total",
            "counter",
            "Looks at the request log, by outcome.",
            ("outcome",),
        )
        self._runs = Family(
            "generator_attribution_monitor_runs_started_total", "counter", "Pipeline runs that breaches have started."
        )
        self._success = Family(
            "generator_attribution_monitor_last_success_timestamp_seconds",
            "gauge",
            "When the last look succeeded, seconds since 1970; 0: none has.",
        )
        for outcome in ("done", "failed"):
            self._looks.add((outcome,), 0)

    def looked(self, found: "Look") -> None:
        """Replaces what was found before, so that no column outlives its head."""
        divergence = {kind: _divergence(kind) for kind in ("skew", "drift")}
        breach = Family(
            "generator_attribution_drift_breach",
            "gauge",
            "1 if a column is above its threshold and above what chance may do, else 0; judged columns only.",
            ("column", "kind"),
        )
        undecided = Family(
            "generator_attribution_monitor_undecided_columns",
            "gauge",
            "Columns with too few rows to tell a breach from chance.",
            ("kind",),
        )
        rows = _rows_family()
        malformed = Family(
            "generator_attribution_monitor_malformed_lines", "gauge", "Lines of the log that could not be read."
        )
        for kind in divergence:
            undecided.add((kind,), 0)
        for each in found.divergences:
            divergence[each.kind].set((each.column,), each.bits)
            if each.state in ("ok", "breach"):
                breach.set((each.column, each.kind), int(each.state == "breach"))
            undecided.add((each.kind,), int(each.state == "too few rows"))
        rows.set(("day",), found.rows)
        rows.set(("baseline",), found.baseline_rows)
        rows.set(("reference",), found.reference_rows)
        malformed.set((), found.malformed)
        families = (*divergence.values(), breach, undecided, rows, malformed)
        self._done("".join(family.write() for family in families))

    def nothing_logged(self) -> None:
        """A look that found no rows has succeeded too."""
        rows = _rows_family()
        rows.set(("day",), 0)
        self._done(rows.write())

    def failed(self) -> None:
        """Counts a look that failed; what was found before stays."""
        self._looks.add(("failed",))

    def run_started(self) -> None:
        """Counts a pipeline run."""
        self._runs.add(())

    def render(self) -> bytes:
        """Returns all metrics, to be sent as `exposition.CONTENT_TYPE`."""
        with self._lock:
            found = self._found
        return (found + "".join(family.write() for family in (self._looks, self._runs, self._success))).encode()

    def _done(self, text: str) -> None:
        with self._lock:
            self._found = text
        self._looks.add(("done",))
        self._success.set((), time.time())


def _divergence(kind: str) -> Family:
    other = "the images that the servable was judged on" if kind == "skew" else "those of the days before"
    return Family(
        f"generator_attribution_{kind}_divergence",
        "gauge",
        f"Jensen-Shannon divergence, in bits, of the day's rows from {other}.",
        ("column",),
    )


def _rows_family() -> Family:
    return Family("generator_attribution_monitor_rows", "gauge", "Rows that were compared.", ("of",))
