"""Mean and covariance of what whitened projections read, measured on the images that a training sees first."""

import keras
import numpy as np

from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.models.whitening import WhitenedProjection, whitening_basis
from components.training import whitening
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.parameters import TrainingParameters

PARAMETERS = TrainingParameters(batch_size=8, sampling="balanced", seed=3)


def pictures(side=32, count=40):
    draw = np.random.default_rng(4)
    smooth = draw.normal(size=(count, side // 4, side // 4, 3)).repeat(4, 1).repeat(4, 2)
    images = np.clip(smooth * 0.3 + draw.normal(size=(count, side, side, 3)) * 0.02, -1, 1).astype(np.float32)
    return LabelledInputs(StoredInputs(images), (np.arange(count) % 2).astype(np.int32), np.ones(count, np.float32))


def model():
    return build_primary((32, 32, 3), True, LayerParameters(network="blocks"), seed=1)


def test_what_a_fitted_projection_reads_is_white():
    network, data = model(), pictures()
    whitening.fit_whitening(network, data, PARAMETERS)
    layers = [layer for layer in network.layers if isinstance(layer, WhitenedProjection)]
    assert len(layers) == 2
    for layer, read in zip(
        layers, keras.Model(network.input, [layer.input for layer in layers])(data.inputs.array), strict=True
    ):
        # Balanced sampling of balanced classes shows every image once.
        rows = np.asarray(read, np.float64).reshape(-1, read.shape[-1])
        np.testing.assert_allclose(layer.mean, rows.mean(0), rtol=1e-3, atol=1e-4)
        expected = whitening_basis(np.cov(rows.T, bias=True), layer.rank)
        # The strongest directions; fainter ones of nearly equal variance may mix.
        np.testing.assert_allclose(np.abs(layer.basis.numpy()[:, :3]), np.abs(expected[:, :3]), rtol=0.02, atol=2e-3)
        variances = np.var((rows - rows.mean(0)) @ layer.basis.numpy(), axis=0)
        assert variances.max() < 1.01
        assert variances[0] > 0.9


def test_windows_may_be_smaller_than_the_model():
    network = model()
    whitening.fit_whitening(network, pictures(side=24), PARAMETERS)
    assert network.get_layer("dProject_02").mean.numpy().any()


def test_no_more_images_are_read_than_needed(monkeypatch):
    monkeypatch.setattr(whitening, "_IMAGES", 16)
    seen, data = [], pictures()
    batches = data.inputs.batches
    monkeypatch.setattr(data.inputs, "batches", lambda indices: batches(seen.extend(indices) or indices))
    whitening.fit_whitening(model(), data, PARAMETERS)
    assert sum(map(len, seen)) == 16


def test_a_model_without_such_projections_is_left_alone():
    network = build_primary((32, 32, 3), True, LayerParameters(), seed=1)
    before = network.get_weights()
    whitening.fit_whitening(network, pictures(), PARAMETERS)
    for one, two in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
