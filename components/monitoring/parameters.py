"""Parameters of monitoring: how far what is asked may be from what the models were judged on."""

from pydantic import Field

from components.parameters import Parameters


class ColumnThresholds(Parameters):
    """Thresholds of one column, instead of the general ones. A key that is null stops the column from being judged.

    Attributes:
        skew, drift: Jensen-Shannon divergence in bits, 0..1.
    """

    skew: float | None = Field(default=None, gt=0.0, le=1.0)
    drift: float | None = Field(default=None, gt=0.0, le=1.0)


class MonitoringParameters(Parameters):
    """When a difference between two sets of images is worth an alarm.

    The Jensen-Shannon divergence is 0 bits for equal shares and 1 bit where no class is shared. A normal distribution
    that moves by d standard deviations moves it by about 0.18 d^2 bits while d is small, so that the default of 0.1 is
    a move of three quarters of a standard deviation.

    Attributes:
        skew_threshold: for a day's images against those that the servable was judged on, in bits.
        drift_threshold: for a day's images against those of the days before, in bits.
        skew_of_scores: whether skew is judged for probabilities and verdicts too. The mix of sources in a test split is
            chosen, that of the world is not, so that they differ even if nothing is wrong; measured it is always.
        thresholds: by column, e.g. `{verdict: {drift: 0.05}, bytes: {drift: null}}`. `source_probability` stands for
            those of all sources.
        baseline_days: how many logged days before a day it is compared with.
        minimum_rows: below so many rows on either side nothing is judged.
        false_alarm_rate: how likely a look that compares samples of one and the same world raises any alarm at all,
            above 0 and below 1; it sets what chance may do (docs/monitoring.md).
        reference_images: how many images of the split the reference statistics are made of, at most.
        cooldown_hours: after a breach has started a pipeline run, how long until one may start another.
    """

    skew_threshold: float = Field(default=0.1, gt=0.0, le=1.0)
    drift_threshold: float = Field(default=0.1, gt=0.0, le=1.0)
    skew_of_scores: bool = False
    thresholds: dict[str, ColumnThresholds] = Field(default_factory=dict)
    baseline_days: int = Field(default=1, ge=1, le=366)
    minimum_rows: int = Field(default=100, ge=20)
    false_alarm_rate: float = Field(default=0.01, gt=0.0, lt=1.0)
    reference_images: int = Field(default=2000, ge=1)
    cooldown_hours: float = Field(default=24.0, ge=0.0)
