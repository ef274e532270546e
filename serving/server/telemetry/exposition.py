"""Counters, gauges and histograms, and how Prometheus' text format writes them.

Written here and not by the usual client library, because that library makes every counter's name end in `_total`, and
TF Serving's names do not. A family never holds more than a number of series: versions come and go for as long as a
server runs, and each has labels of its own.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]

_MOST_SERIES = 1000  # of one family


def exponential_bounds(first: float, factor: float, count: int) -> list[float]:
    """Returns the upper bounds of a histogram's buckets, each `factor` times the one before.

    Args:
        first: the smallest bound.
        factor: above 1.
        count: how many bounds; the bucket above the largest is not among them.
    """
    bounds = [first]
    while len(bounds) < count:
        bounds.append(bounds[-1] * factor)  # multiplied up, as TensorFlow does it, so that the last digits are the same
    return bounds


class Family:
    """A counter or a gauge: one number for each combination of label values.

    Args:
        name: the metric's name.
        kind: "counter" or "gauge".
        help_text: what it counts, in one line.
        labels: names of its labels; a metric without labels is there as 0 from the start.
    """

    def __init__(self, name: str, kind: str, help_text: str, labels: Labels = ()) -> None:
        self.name = name
        self._header = f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n"
        self._label_names = labels
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Changes one number, which is 0 if it was not there.

        Args:
            labels: the values of the labels, in their order.
            amount: what is added.
        """
        with self._lock:
            if labels not in self._values:
                _make_room(self._values)
            self._values[labels] = self._values.get(labels, 0) + amount

    def set(self, labels: Labels, value: float) -> None:
        """Replaces one number."""
        with self._lock:
            if labels not in self._values:
                _make_room(self._values)
            self._values[labels] = value

    def write(self) -> str:
        """Returns all lines of the metric."""
        with self._lock:
            values = list(self._values.items())
        prefix = [(_written(self._label_names, labels), value) for labels, value in values]
        return self._header + "".join(
            f"{self.name}{{{labels}}} {_number(value)}\n" if labels else f"{self.name} {_number(value)}\n"
            for labels, value in prefix
        )


class _Distribution:
    """One histogram: how many observations fell into each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.total = 0.0


class HistogramFamily:
    """A histogram for each combination of label values.

    Args:
        name: the metric's name.
        help_text: what is measured, in one line.
        bounds: the buckets' upper bounds, inclusive; one more bucket takes what is above them.
        labels: names of its labels.
    """

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        self.name = name
        self._header = f"# HELP {name} {help_text}\n# TYPE {name} histogram\n"
        self._label_names = labels
        self._bounds = list(bounds)
        self._written_bounds = [*(format(bound, "g") for bound in bounds), "+Inf"]
        self._lock = threading.Lock()
        self._distributions: dict[Labels, _Distribution] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Counts one observation."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            distribution = self._distributions.get(labels)
            if distribution is None:
                _make_room(self._distributions)
                distribution = self._distributions[labels] = _Distribution(len(self._bounds) + 1)
            distribution.counts[bucket] += 1
            distribution.total += value

    def write(self) -> str:
        """Returns all lines of the metric."""
        with self._lock:
            copies = [(labels, list(each.counts), each.total) for labels, each in self._distributions.items()]
        lines = [self._header]
        for values, counts, total in copies:
            labels = _written(self._label_names, values)
            before = f"{labels}," if labels else ""
            cumulative = 0
            for bound, count in zip(self._written_bounds, counts, strict=True):
                cumulative += count
                lines.append(f'{self.name}_bucket{{{before}le="{bound}"}} {cumulative}\n')
            lines.append(f"{self.name}_sum{{{labels}}} {_number(total)}\n")
            lines.append(f"{self.name}_count{{{labels}}} {cumulative}\n")
        return "".join(lines)


def _make_room(series: dict[Labels, float] | dict[Labels, _Distribution]) -> None:
    if len(series) >= _MOST_SERIES:
        del series[next(iter(series))]  # dictionaries keep their order: this is the oldest


def _written(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
