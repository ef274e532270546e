"""The fit of growth: what is fixed and what an image adds."""

import pytest

from benchmarks.growth import fit
from benchmarks.measure import Measurement


def test_a_line_is_found_exactly():
    times = {count: Measurement(count, cpu_seconds=3.0 + 0.002 * count) for count in (1000, 4000, 16000)}
    assert fit(times) == pytest.approx((3.0, 0.002))


def test_what_grows_faster_than_the_images_shows_as_less_than_nothing_fixed():
    times = {count: Measurement(count, cpu_seconds=1e-7 * count**2) for count in (1000, 4000, 16000)}
    fixed, _ = fit(times)
    assert fixed < 0
