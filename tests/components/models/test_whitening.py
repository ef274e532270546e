"""Projections in a whitened basis: the arithmetic, the basis, and a saved model that computes the same."""

import keras
import numpy as np
import pytest

from components.models.whitening import WhitenedProjection, whitening_basis

FEATURES, RANK, UNITS = 6, 4, 3


def correlated(count=4000):
    draw = np.random.default_rng(0)
    mixing = draw.normal(size=(FEATURES, FEATURES)) * np.array([10.0, 3.0, 1.0, 1.0, 0.5, 0.3])
    return draw.normal(size=(count, FEATURES)) @ mixing.T + 5.0


def projection():
    layer = WhitenedProjection(UNITS, RANK, keras.initializers.HeNormal(seed=1), name="projection")
    layer.build((None, 2, 2, FEATURES))
    return layer


def test_features_in_the_basis_are_uncorrelated_and_of_about_unit_variance():
    features = correlated()
    covariance = np.cov(features.T, bias=True)
    seen = (features - features.mean(0)) @ whitening_basis(covariance, RANK)
    variances = np.linalg.eigvalsh(covariance)[::-1][:RANK]
    floor = 0.01 * np.trace(covariance) / FEATURES
    np.testing.assert_allclose(np.cov(seen.T, bias=True), np.diag(variances / (variances + floor)), atol=1e-4)


def test_the_basis_begins_with_the_direction_of_greatest_variance_and_settles_signs():
    covariance = np.diag([1.0, 9.0, 4.0])
    basis = whitening_basis(covariance, 2)
    floor = 0.01 * 14 / 3
    expected = np.zeros((3, 2))
    expected[1, 0], expected[2, 1] = 1 / np.sqrt(9.0 + floor), 1 / np.sqrt(4.0 + floor)
    np.testing.assert_allclose(basis, expected, atol=1e-6)


def test_features_without_any_variance_have_a_finite_basis():
    assert np.isfinite(whitening_basis(np.zeros((3, 3)), 2)).all()


def test_before_it_is_fitted_a_projection_keeps_the_first_features():
    layer, inputs = projection(), np.random.default_rng(1).normal(size=(5, 2, 2, FEATURES)).astype(np.float32)
    np.testing.assert_allclose(layer(inputs), inputs[..., :RANK] @ layer.kernel.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("bfloat16", 5e-2)])
def test_a_projection_is_the_product_of_centred_features_basis_and_kernel(dtype, close):
    layer, features = projection(), correlated(60).reshape(15, 2, 2, FEATURES).astype(np.float32)
    mean, basis = features.mean((0, 1, 2)), whitening_basis(np.cov(features.reshape(-1, FEATURES).T), RANK)
    layer.mean.assign(mean)
    layer.basis.assign(basis)
    np.testing.assert_allclose(layer.basis, basis, rtol=1e-3, atol=1e-6)
    expected = (features.astype(np.float64) - mean) @ layer.basis.numpy().astype(np.float64) @ layer.kernel.numpy()
    found = np.asarray(layer.project(features, dtype), np.float64)
    assert np.linalg.norm(found - expected) < close * np.linalg.norm(expected)


def test_only_the_kernel_is_trained():
    assert [weight.name for weight in projection().trainable_weights] == ["kernel"]


def test_more_directions_than_features_are_refused():
    with pytest.raises(ValueError, match=r"rank: must be at most the number of features, 6, got 7\."):
        WhitenedProjection(UNITS, 7).build((None, FEATURES))
