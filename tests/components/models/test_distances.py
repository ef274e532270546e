"""Distances from a source against other people's code, their limits, and what they are for."""

import numpy as np
import pytest
import scipy.spatial
import sklearn.covariance

from components.models.distances import fit_distance, fit_gaussian, read_distance, squared_mahalanobis

DRAW = np.random.default_rng(1)


@pytest.mark.parametrize(("images", "width"), [(8, 5), (40, 32), (12, 32), (500, 3)])
def test_the_covariance_is_that_of_ledoit_and_wolf(images, width):
    features = DRAW.normal(size=(images, width)) @ DRAW.normal(size=(width, width)) + 7.0
    gaussian = fit_gaussian(features)
    expected, shrinkage = sklearn.covariance.ledoit_wolf(features)
    assert 0 < shrinkage < 1
    np.testing.assert_allclose(gaussian.mean, features.mean(axis=0))
    np.testing.assert_allclose(gaussian.covariance, expected, rtol=1e-4, atol=1e-5 * np.trace(expected))


@pytest.mark.parametrize("images", [1, 2, 40])
def test_distances_are_numbers_even_if_units_never_fire_or_images_are_few(images):
    features = DRAW.normal(size=(images, 4)) * [1.0, 3.0, 0.0, 0.0]
    distances = squared_mahalanobis(DRAW.normal(size=(6, 4)), fit_gaussian(features))
    assert np.isfinite(distances).all()
    assert (distances > 0).all()


def test_the_distance_is_scipys():
    gaussian = fit_gaussian(DRAW.normal(size=(30, 6)))
    images = DRAW.normal(size=(10, 6))
    inverse = np.linalg.inv(gaussian.covariance)
    expected = [scipy.spatial.distance.mahalanobis(image, gaussian.mean, inverse) ** 2 for image in images]
    np.testing.assert_allclose(squared_mahalanobis(images, gaussian), expected)


def test_as_many_held_out_images_lie_beyond_the_limit_as_may():
    learnt, held_out = DRAW.normal(size=(60, 5)), DRAW.normal(size=(100, 5))
    distance = fit_distance(learnt, held_out, rejection=0.1)
    distances = squared_mahalanobis(held_out, fit_gaussian(learnt))
    assert (distances > distance.limit).sum() == 9  # 10 of 100 would be allowed; the limit itself is one of them
    assert "too few" not in distance.note


def test_of_few_images_the_farthest_is_the_limit_and_the_note_says_so():
    learnt, held_out = DRAW.normal(size=(30, 5)), DRAW.normal(size=(7, 5))
    distance = fit_distance(learnt, held_out, rejection=0.05)
    assert distance.limit == pytest.approx(squared_mahalanobis(held_out, fit_gaussian(learnt)).max())
    assert "7 held-out images" in distance.note
    assert "too few images to claim it" in distance.note


def test_the_precision_is_the_inverse_of_the_covariance():
    learnt = DRAW.normal(size=(30, 5))
    distance = fit_distance(learnt, learnt, 0.5)
    np.testing.assert_allclose(distance.precision @ fit_gaussian(learnt).covariance, np.eye(5), atol=1e-9)


def test_a_distance_reads_back(tmp_path):
    distance = fit_distance(DRAW.normal(size=(30, 5)), DRAW.normal(size=(30, 5)), 0.2)
    distance.write(tmp_path / "distance.npz")
    again = read_distance(tmp_path / "distance.npz")
    np.testing.assert_array_equal(again.mean, distance.mean)
    np.testing.assert_array_equal(again.precision, distance.precision)
    assert (again.limit, again.note) == (distance.limit, distance.note)


@pytest.mark.parametrize(
    ("held_out", "rejection", "message"), [(0, 0.1, "held_out"), (5, 0.0, "rejection"), (5, 1.0, "rejection")]
)
def test_what_has_no_limit_is_refused(held_out, rejection, message):
    with pytest.raises(ValueError, match=message):
        fit_distance(DRAW.normal(size=(9, 2)), DRAW.normal(size=(held_out, 2)), rejection)
