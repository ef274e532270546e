"""How far apart two sets of images are, column by column, and whether that can be chance.

The measure is the Jensen-Shannon divergence of the shares p, q of a column's classes, as TFDV computes it for skew and
drift, in bits:

    JS(p, q) = 1/2 KL(p || m) + 1/2 KL(q || m),   m = (p + q) / 2

Between samples of n and of N images of one and the same world it is not 0. It is then close to

    (1/n + 1/N) / (8 ln 2) * X,   X chi-square with (classes - 1) degrees of freedom,

the second-order term of its expansion around p = q (Menendez, Pardo, Pardo & Pardo 1997, The Jensen-Shannon divergence,
J. Franklin Institute 334B). A quantile of it is the noise floor: what lies below says nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import log
from typing import Any, Literal

import tensorflow_data_validation as tfdv
from scipy.stats import chi2
from tensorflow_metadata.proto.v0 import schema_pb2

from components.monitoring.classes import SOURCE_COLUMN, is_score
from components.monitoring.parameters import MonitoringParameters
from components.monitoring.statistics import Statistics, class_counts

Kind = Literal["skew", "drift"]
State = Literal["ok", "breach", "too few rows", "not judged"]


@dataclass(frozen=True)
class Divergence:
    """How far one column of the current images is from that of others.

    Attributes:
        column: its name.
        kind: "skew", against the reference; "drift", against the days before.
        bits: the divergence, 0..1.
        noise: what chance alone may reach, in bits.
        threshold: above which it counts; None if the column is not judged.
        rows: images with a value in this column, now.
        other_rows: the same of the others.
        state: "breach" above threshold and noise; "too few rows" where chance alone may pass the threshold, or there
            are fewer rows than the configured minimum; "not judged" without a threshold; else "ok".
    """

    column: str
    kind: Kind
    bits: float
    noise: float
    threshold: float | None
    rows: int
    other_rows: int
    state: State

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


def compare(current: Statistics, other: Statistics, kind: Kind, parameters: MonitoringParameters) -> list[Divergence]:
    """Compares every column that both have.

    Args:
        current: of the images in question.
        other: of the reference, or of the days before.
        kind: which of the two that is.
        parameters: thresholds, and what chance may do.

    Returns:
        One a column, in the order of the current statistics.
    """
    now, then = class_counts(current), class_counts(other)
    columns = [column for column in now if column in then]
    if not columns:
        return []
    level = parameters.false_alarm_rate / len(columns)  # Bonferroni: for all columns together
    bits = _divergences(current, other, kind, columns)
    found = []
    for column in columns:
        rows, other_rows = sum(now[column].values()), sum(then[column].values())
        noise = noise_floor(rows, other_rows, len({*now[column], *then[column]}), level)
        threshold = threshold_of(column, kind, parameters)
        state = _state(bits[column], noise, threshold, min(rows, other_rows) >= parameters.minimum_rows)
        found.append(Divergence(column, kind, bits[column], noise, threshold, rows, other_rows, state))
    return found


def noise_floor(rows: int, other_rows: int, classes: int, level: float) -> float:
    """Returns the divergence that samples of one and the same world exceed with the given probability.

    Args:
        rows, other_rows: sizes of the samples, at least 1.
        classes: of the column, at least 1.
        level: 0..1.

    Returns:
        Bits, at most 1; 0 for a column with one class.
    """
    if classes == 1:
        return 0.0
    quantile = float(chi2.isf(level, classes - 1))
    return min(1.0, (1 / rows + 1 / other_rows) * quantile / (8 * log(2)))


def threshold_of(column: str, kind: Kind, parameters: MonitoringParameters) -> float | None:
    """Returns the threshold of a column, None if it is not judged."""
    general = parameters.skew_threshold if kind == "skew" else parameters.drift_threshold
    for name in (column, SOURCE_COLUMN if column.startswith(f"{SOURCE_COLUMN}.") else column):
        own = parameters.thresholds.get(name)
        if own is not None and kind in own.model_fields_set:
            return own.skew if kind == "skew" else own.drift
    return None if kind == "skew" and is_score(column) and not parameters.skew_of_scores else general


def _state(bits: float, noise: float, threshold: float | None, enough: bool) -> State:
    if threshold is None:
        return "not judged"
    if not enough:
        return "too few rows"
    if bits > max(noise, threshold):
        return "breach"
    return "too few rows" if noise > threshold else "ok"


def _divergences(current: Statistics, other: Statistics, kind: Kind, columns: list[str]) -> Mapping[str, float]:
    """Lets TFDV compare: its skew comparator takes training and serving statistics, its drift comparator two spans."""
    schema = schema_pb2.Schema()
    for column in columns:
        feature = schema.feature.add(name=column, type=schema_pb2.BYTES)
        comparator = feature.skew_comparator if kind == "skew" else feature.drift_comparator
        comparator.jensen_shannon_divergence.threshold = 1.0
    if kind == "skew":
        anomalies = tfdv.validate_statistics(other, schema, serving_statistics=current)
    else:
        anomalies = tfdv.validate_statistics(current, schema, previous_statistics=other)
    measured = {}
    for info in anomalies.drift_skew_info:
        (measurement,) = info.skew_measurements if kind == "skew" else info.drift_measurements
        # Rounding leaves equal shares a hair below 0, and disjoint ones above 1.
        measured[".".join(info.path.step)] = min(1.0, max(0.0, measurement.value))
    return measured
