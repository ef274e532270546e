from collections import Counter

import numpy as np
import pytest

from components.training.sampling import class_weights, epoch_order, even_batches

TWO_TO_ONE = np.array([0] * 20 + [1] * 10)


@pytest.mark.parametrize("positives", [1, 5, 9])
def test_balanced_weights_give_both_classes_half_of_the_count(positives):
    targets = np.array([1] * positives + [0] * (10 - positives))
    weights = class_weights(targets, "balanced")
    assert weights[targets == 1].sum() == pytest.approx(5.0)
    assert weights[targets == 0].sum() == pytest.approx(5.0)


@pytest.mark.parametrize(("targets", "rule"), [([1, 0, 0], "none"), ([1, 1], "balanced"), ([0, 0], "balanced")])
def test_images_weigh_alike_where_nothing_is_to_be_balanced(targets, rule):
    np.testing.assert_array_equal(class_weights(np.array(targets), rule), 1.0)


def test_balanced_weights_give_each_of_several_classes_the_same_total():
    targets = np.array([0] * 6 + [1] * 3 + [2])
    weights = class_weights(targets, "balanced")
    assert [weights[targets == number].sum() for number in range(3)] == pytest.approx([10 / 3] * 3)


def test_a_shuffled_epoch_holds_every_image_once():
    assert sorted(epoch_order(TWO_TO_ONE, "shuffled", seed=1, epoch=0)) == list(range(30))


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_an_epochs_order_follows_from_seed_and_epoch_alone(sampling):
    orders = {
        (seed, epoch): tuple(epoch_order(TWO_TO_ONE, sampling, seed, epoch)) for seed in (1, 2) for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    np.random.default_rng().random(7)  # whatever was drawn in between
    assert tuple(epoch_order(TWO_TO_ONE, sampling, 2, 1)) == orders[2, 1]


def test_a_balanced_epoch_is_as_long_and_holds_all_classes_equally_often():
    for epoch in range(3):
        order = epoch_order(TWO_TO_ONE, "balanced", 1, epoch)
        assert Counter(TWO_TO_ONE[order]) == {0: 15, 1: 15}
        times = Counter(order.tolist())
        assert {times[image] for image in range(20, 30)} == {1, 2}  # of the small class all come, some twice
        assert max(times[image] for image in range(20)) == 1


def test_images_that_one_balanced_epoch_leaves_out_come_in_others():
    seen = {int(image) for epoch in range(12) for image in epoch_order(TWO_TO_ONE, "balanced", 1, epoch)}
    assert seen == set(range(30))


def test_where_classes_do_not_divide_the_epoch_they_differ_by_one_image_and_by_turns():
    targets = np.array([0] * 5 + [1] * 3 + [2] * 2)
    counts = [Counter(targets[epoch_order(targets, "balanced", 1, epoch)].tolist()) for epoch in range(20)]
    assert all(sorted(count.values()) == [3, 3, 4] for count in counts)
    assert {max(count, key=count.__getitem__) for count in counts} == {0, 1, 2}


# --- batches that hold classes and sources evenly ---

SOURCES = np.array(["camera"] * 14 + ["phone"] * 6 + ["gan_a"] * 7 + ["gan_b"] * 3)


@pytest.mark.parametrize("epoch", range(3))
def test_every_batch_of_a_balanced_epoch_holds_both_classes_evenly(epoch):
    order = epoch_order(TWO_TO_ONE, "balanced", 1, epoch)
    for batch in even_batches(order, 10):
        assert TWO_TO_ONE[batch].sum() == 5


@pytest.mark.parametrize("epoch", range(5))
def test_sources_come_equally_often_within_their_class(epoch):
    targets = TWO_TO_ONE
    order = epoch_order(targets, "sources", 1, epoch, SOURCES)
    counts = Counter(SOURCES[order].tolist())
    assert len(order) == 30
    assert counts["camera"] + counts["phone"] == counts["gan_a"] + counts["gan_b"] == 15
    assert {counts["camera"], counts["phone"]} == {counts["gan_a"], counts["gan_b"]} == {7, 8}
    for batch in even_batches(order, 8):
        in_batch = Counter(SOURCES[batch].tolist())
        assert all(1 <= in_batch[source] <= 3 for source in ("camera", "phone", "gan_a", "gan_b"))


def test_more_sources_than_places_take_turns():
    targets, sources = np.array([0] * 5 + [1]), np.arange(6)
    seen = {int(image) for epoch in range(20) for image in epoch_order(targets, "sources", 1, epoch, sources)}
    assert seen == set(range(6))
    assert all(len(epoch_order(targets, "sources", 1, epoch, sources)) == 6 for epoch in range(20))


@pytest.mark.parametrize(("power", "expected"), [(0.0, [50, 50]), (0.5, [75, 25]), (1.0, [90, 10])])
def test_a_source_comes_in_proportion_to_the_power_of_its_count(power, expected):
    targets = np.array([0] * 100 + [1] * 100)
    sources = np.array(["camera"] * 100 + ["large"] * 90 + ["small"] * 10)
    order = epoch_order(targets, "sources", 1, 0, sources, power)
    counts = Counter(sources[order].tolist())
    assert [counts["large"], counts["small"]] == pytest.approx(expected, abs=1)
    assert counts["camera"] == 100
    for batch in even_batches(order, 40):
        assert targets[batch].sum() == 20


def test_what_rounding_takes_from_a_source_is_drawn_in_each_epoch():
    targets, sources = np.array([0] * 7 + [1] * 7), np.array(["a"] * 7 + ["b"] * 6 + ["c"])
    times = [Counter(sources[epoch_order(targets, "sources", 1, epoch, sources, 0.5)].tolist()) for epoch in range(400)]
    assert all(count["a"] == 7 and count["b"] + count["c"] == 7 for count in times)
    exact = 7 / (1 + np.sqrt(6))
    assert {count["c"] for count in times} == {2, 3}
    assert np.mean([count["c"] for count in times]) == pytest.approx(exact, abs=0.1)


def test_without_a_power_the_order_is_that_of_equal_shares():
    order = epoch_order(TWO_TO_ONE, "sources", 1, 2, SOURCES)
    np.testing.assert_array_equal(order, epoch_order(TWO_TO_ONE, "sources", 1, 2, SOURCES, 0.0))
    assert (order != epoch_order(TWO_TO_ONE, "sources", 1, 2, SOURCES, 1.0)).any()


def test_sources_that_are_not_known_cannot_be_balanced():
    with pytest.raises(ValueError, match="must not be 'sources' where"):
        epoch_order(TWO_TO_ONE, "sources", 1, 0)


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [
        (294, 32, [32] * 6 + [24] * 3 + [30]),
        (72, 16, [16] * 4 + [8]),
        (64, 32, [32, 32]),
        (3, 64, [3]),
        (10, 9, [5, 5]),
    ],
)
def test_batches_are_about_even(count, size, sizes):
    batches = even_batches(np.arange(count), size)
    assert [len(batch) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(count))
