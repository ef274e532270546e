import numpy as np
import pytest
import tensorflow as tf

from components.models.dropout import CountedDropout

ONES = np.ones((64, 100), np.float32)


def test_a_share_is_set_to_zero_and_the_rest_keeps_the_mean():
    values = CountedDropout(0.25, seed=1)(ONES, training=True).numpy()
    assert set(np.unique(values)) == {np.float32(0.0), np.float32(1 / 0.75)}
    assert np.mean(values == 0.0) == pytest.approx(0.25, abs=0.03)


def test_outside_training_nothing_happens():
    layer = CountedDropout(0.25)
    np.testing.assert_array_equal(layer(ONES, training=False), ONES)
    assert int(layer.get_weights()[0]) == 0


def test_each_batch_has_another_mask_and_each_seed_others():
    layer = CountedDropout(0.5, seed=1)
    first, second = (layer(ONES, training=True).numpy() for _ in range(2))
    other = CountedDropout(0.5, seed=2)(ONES, training=True).numpy()
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_layer_with_the_same_weights_continues_with_the_same_masks():
    layer, other = CountedDropout(0.5, seed=1), CountedDropout(0.5, seed=1)
    layer(ONES, training=True)
    other(ONES)
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(other(ONES, training=True), layer(ONES, training=True))


def test_devices_that_train_together_count_a_batch_once():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        layer = CountedDropout(0.5, seed=1)
        layer(ONES)

    @tf.function
    def step():
        return strategy.run(lambda: layer(ONES, training=True))

    step()
    np.testing.assert_array_equal(layer.get_weights()[0], 1)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match=f"rate: must be at least 0 and below 1, got {rate}"):
        CountedDropout(rate)
