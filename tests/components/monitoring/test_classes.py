"""Classes of values: every value has one, and edges belong to the class above them."""

from dataclasses import replace

import pytest

from components.monitoring.classes import classes_of, is_score
from serving.request_log.columns import ImageColumns
from tests.support.request_logs import entries


@pytest.fixture
def entry():
    return next(entries(1, 0, jpegs=1.0))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("width", 1, "below 64"),
        ("width", 127, "96 to below 128"),
        ("width", 128, "128 to below 192"),
        ("height", 6144, "6,144 and more"),
        ("jpeg_quality", 75, "75 to below 80"),
        ("jpeg_quality", 100, "98 and more"),
        ("bytes", 1500, "1,024 to below 2,048"),
    ],
)
def test_a_value_lies_in_the_class_that_holds_it(entry, name, value, expected):
    assert classes_of(replace(entry.image, **{name: value}), entry.answer)[name] == expected


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, "below 0.001"), (0.5, "0.5 to below 0.75"), (0.9995, "0.999 and more"), (1.0, "0.999 and more")],
)
def test_probabilities_are_finer_near_their_ends(entry, probability, expected):
    answer = replace(entry.answer, fake_probability=probability)
    assert classes_of(entry.image, answer)["fake_probability"] == expected


def test_an_image_that_is_no_jpeg_has_a_class_of_its_own(entry):
    image = replace(entry.image, format="PNG", jpeg_quality=None)
    assert classes_of(image, entry.answer)["jpeg_quality"] == "not JPEG"


def test_what_was_not_measured_has_no_class():
    assert set(classes_of(ImageColumns(None, None, None, None, None, None), None).values()) == {None}


def test_uncertain_is_a_class_of_the_verdict_as_any_other(entry):
    answer = replace(entry.answer, verdict="uncertain")
    assert classes_of(entry.image, answer)["verdict"] == "uncertain"


def test_scores_are_told_from_measurements(entry):
    columns = list(classes_of(entry.image, entry.answer))
    assert [column for column in columns if is_score(column)] == columns[13:]
    assert list(classes_of(entry.image, None)) == columns[:13]
