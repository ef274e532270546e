"""All heads at once against each head by itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.models import secondary
from components.models.distances import fit_distance, fit_gaussian, squared_mahalanobis
from components.models.heatmaps import contribution_map
from components.models.parameters import LayerParameters
from components.models.secondary import build_secondary
from components.servable.grouped_heads import GroupedHeads
from tests.support.modules import with_last_features

SHAPE = (16, 16, 16)


def _head(seed, pooled, shape=SHAPE):
    """A head as training leaves it: statistics, scales and shifts away from their initial values."""
    head, draw = build_secondary(shape, pooled, LayerParameters(), seed), np.random.default_rng(seed)
    for layer in head.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(draw.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(draw.normal(0.0, 0.5, layer.beta.shape))
            layer.moving_mean.assign(draw.normal(0.0, 0.5, layer.moving_mean.shape))
            layer.moving_variance.assign(draw.uniform(0.3, 3.0, layer.moving_variance.shape))
        if layer.name == secondary.DECISION_LAYER:
            layer.bias.assign(draw.normal(0.0, 0.5, layer.bias.shape))
    return head


def _middle_features(count=5, seed=0):
    return tf.nn.relu(tf.constant(np.random.default_rng(seed).normal(0.0, 1.0, (count, *SHAPE)), tf.float32))


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("count", [1, 4, 100])
def test_each_head_answers_as_it_does_by_itself(pooled, count):
    heads = {f"source_{seed}": _head(seed, pooled) for seed in range(count)}
    middle = _middle_features()
    answers = tf.function(GroupedHeads(heads).answers)(middle).probabilities.numpy()
    expected = np.column_stack([head(middle, training=False).numpy()[:, 0] for head in heads.values()])
    assert answers.shape == (5, count)
    # Random heads are far surer than trained ones; where a probability is 0 or 1, anything would be equal.
    assert ((expected > 0.01) & (expected < 0.99)).mean() > 0.3
    # Folded batch normalisation rounds elsewhere: the last bits of a logit.
    np.testing.assert_allclose(answers, expected, atol=2e-6)


@pytest.mark.parametrize("pooled", [True, False])
def test_maps_are_those_of_each_head(pooled):
    heads = {f"source_{seed}": _head(seed, pooled) for seed in range(3)}
    middle = _middle_features()
    probabilities, within, maps = tf.function(GroupedHeads(heads).answers)(middle, with_maps=True)
    assert within.numpy().all()  # no head has a distance
    assert maps.shape == (5, 3, 8, 8)
    for column, head in enumerate(heads.values()):
        features, probability = with_last_features(head)(middle, training=False)
        expected = contribution_map(features, tf.convert_to_tensor(head.get_layer(secondary.DECISION_LAYER).kernel))
        np.testing.assert_allclose(maps[:, column], expected, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_allclose(probabilities[:, column], probability[:, 0], atol=2e-6)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_head_with_a_distance_says_which_images_are_within_it(pooled):
    heads = {f"source_{seed}": _head(seed, pooled) for seed in range(3)}
    middle = _middle_features(count=12)
    averaged = {
        source: tf.reduce_mean(with_last_features(head)(middle, training=False)[0], (1, 2)).numpy()
        for source, head in heads.items()
    }
    near = {source: fit_distance(averaged[source][:8], averaged[source], 0.5) for source in ("source_0", "source_2")}
    answers = tf.function(GroupedHeads(heads, near).answers)(middle)
    for column, source in enumerate(heads):
        expected = np.ones(12, bool)
        if source in near:
            distances = squared_mahalanobis(averaged[source], fit_gaussian(averaged[source][:8]))
            # The limit is an image's own distance: rounding may put that one on either side.
            clear = np.abs(distances - near[source].limit) > 1e-3 * near[source].limit
            assert 4 <= (distances <= near[source].limit).sum() <= 8
            np.testing.assert_array_equal(
                answers.within.numpy()[clear, column], (distances <= near[source].limit)[clear]
            )
        else:
            np.testing.assert_array_equal(answers.within[:, column], expected)
    plain = tf.function(GroupedHeads(heads).answers)(middle)
    np.testing.assert_allclose(answers.probabilities, plain.probabilities, atol=1e-6)


def test_without_heads_answers_have_no_columns():
    probabilities, within, maps = tf.function(GroupedHeads({}).answers)(_middle_features(), with_maps=True)
    assert within.shape == (5, 0)
    assert (probabilities.shape, maps.shape) == ((5, 0), (5, 0, 8, 8))


@pytest.mark.parametrize("places", [(8, 8), (9, 13)])
def test_maps_have_the_same_places_with_heads_and_without(places):
    middle = tf.ones((2, *places, 64))
    head = _head(1, True, (*places, 64))
    maps = [tf.function(GroupedHeads(heads).answers)(middle, with_maps=True).maps for heads in ({}, {"one": head})]
    assert maps[0].shape[2:] == maps[1].shape[2:] == tuple(-(-count // 2) for count in places)


def test_heads_of_other_middle_features_are_refused_by_name():
    with pytest.raises(ValueError, match="'other' has weights of shapes"):
        GroupedHeads({"one": _head(1, False), "other": _head(2, False, (8, 8, 16))})


def test_the_graph_does_not_grow_with_the_heads():
    def nodes(count):
        heads = GroupedHeads({f"source_{seed}": _head(seed, True) for seed in range(count)})
        graph = tf.function(heads.answers).get_concrete_function(tf.TensorSpec((None, *SHAPE))).graph
        return len(graph.as_graph_def().node) + sum(len(one.node_def) for one in graph.as_graph_def().library.function)

    assert nodes(2) == nodes(12)


@pytest.mark.parametrize("with_distances", [False, True])
def test_averaged_features_decide_as_whole_images_do(with_distances):
    heads = {f"source_{seed}": _head(seed, pooled=True) for seed in range(3)}
    middle = _middle_features(40)
    distances = None
    if with_distances:
        last = with_last_features(heads["source_1"])(middle, training=False)[0].numpy().mean((1, 2))
        distances = {"source_1": fit_distance(last[:20], last[20:], 0.3)}
    grouped = GroupedHeads(heads, distances)
    expected = tf.function(grouped.answers)(middle, with_maps=True)
    averaged, maps = tf.function(grouped.pooled_features)(middle, with_maps=True)
    probabilities, within = tf.function(grouped.decide)(averaged)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=2e-6)
    np.testing.assert_array_equal(within, expected.within)
    np.testing.assert_array_equal(maps, expected.maps)
    assert with_distances != within.numpy().all()


def test_heads_that_keep_places_cannot_average_windows():
    with pytest.raises(ValueError, match="must average over places"):
        GroupedHeads({"a": _head(0, pooled=False)}).pooled_features(_middle_features())


def test_no_heads_average_nothing():
    averaged, maps = GroupedHeads({}).pooled_features(_middle_features(), with_maps=True)
    assert (averaged.shape[:2], maps.shape) == ((5, 0), (5, 0, 8, 8))
    assert [part.shape for part in GroupedHeads({}).decide(averaged)] == [(5, 0), (5, 0)]
