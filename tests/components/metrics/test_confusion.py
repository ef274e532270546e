"""Verdict counts against a count by hand and scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics

from components.metrics.confusion import verdict_confusion


def test_verdict_confusion_counts_every_image_once():
    true = ["real_ffhq", "camera", "progan", "progan", "sngan", "stargan", "biggan"]
    verdicts = ["real", "contradiction", "progan", "sngan", "unknown_generator", "real", "progan"]
    labels = np.array([0, 0, 1, 1, 1, 1, 1])
    rows, columns, matrix = verdict_confusion(true, verdicts, ["sngan", "progan"], labels)
    assert rows == ["real", "sngan", "progan", "biggan", "stargan"]
    assert columns == ["real", "sngan", "progan", "unknown_generator", "contradiction"]
    np.testing.assert_array_equal(
        matrix, [[1, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]
    )


def test_verdict_confusion_equals_scikit_learn_where_all_sources_have_heads():
    random = np.random.default_rng(8)
    names = ["real", "a", "b", "unknown_generator", "contradiction"]
    true, said = random.choice(names[:3], 500), random.choice(names, 500)
    rows, columns, matrix = verdict_confusion(true, said, ["a", "b"], true != "real")
    expected = sklearn.metrics.confusion_matrix(true, said, labels=names)
    np.testing.assert_array_equal(matrix, expected[: len(rows)])
    assert columns == names


def test_uncertain_images_are_counted_in_a_column_of_their_own():
    true = ["camera", "camera", "progan", "biggan"]
    verdicts = ["uncertain", "real", "progan", "uncertain"]
    labels = np.array([0, 0, 1, 1])
    rows, columns, matrix = verdict_confusion(true, verdicts, ["progan"], labels, with_uncertain=True)
    assert rows == ["real", "progan", "biggan"]
    assert columns == ["real", "progan", "unknown_generator", "contradiction", "uncertain"]
    np.testing.assert_array_equal(matrix, [[1, 0, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1]])


@pytest.mark.parametrize("with_uncertain", [False, True])
@pytest.mark.parametrize("names", [["uncertain"], ["a", "a"]])
def test_no_head_is_called_uncertain_or_listed_twice(names, with_uncertain):
    with pytest.raises(ValueError, match="source_names: must be unique and none of"):
        verdict_confusion(["a"], ["a"], names, np.array([1]), with_uncertain)


@pytest.mark.parametrize(
    ("true", "verdicts", "names", "labels", "message"),
    [
        (["a"], ["a", "a"], ["a"], [1], "got 1, 2 and 1"),
        (["a"], ["b"], ["a"], [1], "'b' is none of"),
        (["a"], ["uncertain"], ["a"], [1], "'uncertain' is none of"),  # without a band
        (["uncertain"], ["a"], ["a"], [1], "named like a verdict"),
        (["a"], ["a"], ["a", "real"], [1], "source_names: must be unique"),
        (["contradiction"], ["a"], ["a"], [1], "named like a verdict"),
        (["a"], ["a"], ["a"], [2], r"labels: must be 0 or 1, got \[2\]"),
    ],
)
def test_verdict_confusion_refuses_what_it_cannot_count(true, verdicts, names, labels, message):
    with pytest.raises(ValueError, match=message):
        verdict_confusion(true, verdicts, names, np.array(labels))
