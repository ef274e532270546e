"""Augmentation of single images: what it keeps, what it changes, and that the seed alone decides."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pydantic import ValidationError

from components.training.augmentation import make_augment, random_blur, random_jpeg, random_noise
from components.training.augmentation_parameters import AugmentationParameters

SIZE = 32


def _picture(height=72, width=88, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def _encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _augmented(pixels, seed=(1, 2), **parameters):
    augment = make_augment(AugmentationParameters(**parameters), SIZE)
    return augment(tf.constant(pixels), tf.constant(seed, tf.int32)).numpy()


def _places(window, picture):
    height, width = picture.shape[0] - SIZE + 1, picture.shape[1] - SIZE + 1
    return [
        (top, left)
        for top in range(height)
        for left in range(width)
        if np.array_equal(picture[top : top + SIZE, left : left + SIZE], window)
    ]


@pytest.mark.parametrize("shape", [(72, 88), (73, 85), (32, 32), (32, 40)])
def test_nothing_asked_for_gives_the_central_window(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    top, left = (shape[0] - SIZE) // 2, (shape[1] - SIZE) // 2
    assert np.array_equal(_augmented(picture), picture[top : top + SIZE, left : left + SIZE])


def test_random_windows_are_windows_of_the_picture_and_lie_everywhere():
    picture = np.random.default_rng(0).integers(0, 256, (40, 36, 3), np.uint8)
    places = [_places(_augmented(picture, (seed, 0), crop="random"), picture) for seed in range(150)]
    assert all(len(found) == 1 for found in places)
    tops, lefts = zip(*[found[0] for found in places], strict=True)
    assert set(lefts) == set(range(5))
    assert (min(tops), max(tops)) == (0, 8)


def test_half_of_the_windows_are_mirrored():
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    mirrored = [np.array_equal(_augmented(picture, (seed, 0), flip=True), picture[:, ::-1]) for seed in range(60)]
    assert 15 < sum(mirrored) < 45


def test_windows_are_turned_by_all_four_quarters():
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    turns = {
        turn
        for seed in range(40)
        for turn in range(4)
        if np.array_equal(_augmented(picture, (seed, 0), turn=True), np.rot90(picture, turn))
    }
    assert turns == {0, 1, 2, 3}


@pytest.mark.parametrize("name", ["jpeg", "blur", "noise", "resize"])
def test_a_perturbation_comes_as_often_as_its_probability(name):
    picture = _picture()
    plain = _augmented(picture)
    changed = [not np.array_equal(_augmented(picture, (seed, 3), **{name: 0.5}), plain) for seed in range(60)]
    assert 15 < sum(changed) < 45


def test_jpeg_equals_pillows_at_that_quality():
    picture = _picture()
    ours = random_jpeg(tf.constant(picture), tf.constant([1, 2]), (75, 75)).numpy()
    theirs = np.asarray(Image.open(io.BytesIO(_encoded(picture, "JPEG", quality=75, subsampling=2))))
    # The same tables and the same inverse transform; encoders differ in how they halve colours and round.
    assert np.abs(ours.astype(int) - theirs).mean() < 1.0


def test_blur_equals_scipys_gaussian():
    from scipy import ndimage

    picture = _picture()
    expected = ndimage.gaussian_filter(picture.astype(float), (1.0, 1.0, 0), mode="mirror", radius=(4, 4, 0))
    ours = random_blur(tf.constant(picture), tf.constant([1, 2]), (1.0, 1.0)).numpy()
    assert np.abs(ours - expected).max() <= 0.51  # rounded to whole levels


def test_noise_has_the_deviation_asked_for():
    grey = tf.fill((200, 200, 3), tf.constant(128, tf.uint8))
    assert random_noise(grey, tf.constant([1, 2]), (4.0, 4.0)).numpy().std() == pytest.approx(4.0, rel=0.05)


def test_resizing_never_makes_a_window_impossible():
    picture = _picture(40, 48)
    for seed in range(20):
        assert _augmented(picture, (seed, 0), resize=1.0, resize_range=(0.1, 0.2), crop="random").shape == (
            SIZE,
            SIZE,
            3,
        )


def test_the_seed_alone_decides():
    parameters = AugmentationParameters(crop="random", flip=True, jpeg=0.5, blur=0.5, noise=0.5, resize=0.5, turn=True)
    augment = make_augment(parameters, SIZE)
    pictures = tf.constant(np.stack([_picture(seed=number) for number in range(4)]))
    seeds = tf.constant([[7, number] for number in range(4)], tf.int32)
    alone = [augment(one, seed).numpy() for one, seed in zip(pictures, seeds, strict=True)]
    rows = tf.data.Dataset.from_tensor_slices((pictures, seeds)).map(augment, num_parallel_calls=2)
    np.testing.assert_array_equal(alone, list(rows.as_numpy_iterator()))
    assert (augment(pictures[0], tf.constant([8, 0])).numpy() != alone[0]).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"jpeg_range": [90, 60]}, "jpeg_range: must be two numbers in 1..100"),
        ({"blur_range": (0.5, 9.0)}, "blur_range"),
        ({"jpeg": 1.5}, "less than or equal to 1"),
        ({"crop": "corner"}, "centre"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        AugmentationParameters(**values)


def test_lists_of_yaml_are_ranges():
    assert AugmentationParameters(jpeg_range=[70, 95]).jpeg_range == (70, 95)
