"""What is read from heads is what Keras says of them."""

import numpy as np
import pytest
import scipy.special

from components.models.parameters import LayerParameters
from components.models.secondary import build_secondary
from components.training.head_reader import HeadReader
from tests.support.modules import with_last_features

SIDE, CHANNELS = 8, 16


@pytest.mark.parametrize("pooled", [True, False])
def test_logits_and_averaged_features_of_several_heads_are_those_of_keras(pooled):
    draw = np.random.default_rng(3)
    middle = draw.normal(size=(150, SIDE, SIDE, CHANNELS)).astype(np.float32)
    rows = draw.permutation(150)[:130]  # two whole batches and some
    heads = [build_secondary((SIDE, SIDE, CHANNELS), pooled, LayerParameters(), seed) for seed in (1, 2)]
    reader = HeadReader(heads[0])
    for head in (*heads, heads[0]):
        head.layers[2].set_weights([draw.random(32) + 0.5 for _ in range(4)])  # batch normalisation that does something
        answers = reader.read(head, middle, rows)
        features, probabilities = with_last_features(head).predict(middle[rows], verbose=0)
        np.testing.assert_allclose(scipy.special.expit(answers.logits), probabilities[:, 0], atol=1e-5)
        np.testing.assert_allclose(answers.features, features.mean(axis=(1, 2)), atol=1e-5)


def test_a_pooled_head_answers_for_windows_of_another_size():
    head = build_secondary((SIDE, SIDE, CHANNELS), True, LayerParameters(), 1)
    larger = build_secondary((2 * SIDE, 2 * SIDE, CHANNELS), True, LayerParameters(), 2)
    larger.set_weights(head.get_weights())
    middle = np.random.default_rng(0).normal(size=(5, 2 * SIDE, 2 * SIDE, CHANNELS)).astype(np.float32)
    answers = HeadReader(head).read(head, middle, np.arange(5))
    expected = larger.predict(middle, verbose=0)[:, 0]
    np.testing.assert_allclose(scipy.special.expit(answers.logits), expected, atol=1e-5)
