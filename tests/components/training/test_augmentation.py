"""Augmentation of single images: what it keeps, what it changes, and that the seed alone decides."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.training.augmentation import augment, random_blur, random_jpeg, random_noise, random_resize, random_webp
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
    return augment(pixels, AugmentationParameters(**parameters), SIZE, np.random.default_rng(seed))


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


def decoded_by_tensorflow(encoded):
    import tensorflow as tf

    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()


@pytest.mark.parametrize(("full_colour", "subsampling"), [(0.0, 2), (1.0, 0)])
def test_jpeg_is_what_the_served_graph_decodes_at_that_quality(full_colour, subsampling):
    picture = _picture()
    ours = random_jpeg(picture, np.random.default_rng(0), (75, 75), full_colour)
    theirs = decoded_by_tensorflow(_encoded(picture, "JPEG", quality=75, subsampling=subsampling))
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_webp_changes_pixels_a_little():
    difference = np.abs(random_webp(_picture(), np.random.default_rng(0), (80, 80)).astype(int) - _picture())
    assert 0 < difference.mean() < 20


def test_a_second_pass_moves_the_grid_and_keeps_the_size():
    picture, options = _picture(), {"jpeg": 1.0, "jpeg_range": (50, 50), "crop": "random"}
    once = [_augmented(picture, (seed, 0), **options) for seed in range(8)]
    twice = [_augmented(picture, (seed, 0), again=1.0, **options) for seed in range(8)]
    assert {window.shape for window in twice} == {(SIZE, SIZE, 3)}
    assert all((first != second).any() for first, second in zip(once, twice, strict=True))


def test_a_second_pass_leaves_central_windows_whole():
    assert _augmented(_picture(SIZE, SIZE), jpeg=1.0, again=1.0).shape == (SIZE, SIZE, 3)


def _multiples_of_eight(shape):
    return {(top, left) for top in range(0, shape[0] - SIZE + 1, 8) for left in range(0, shape[1] - SIZE + 1, 8)}


def test_windows_on_the_grid_begin_on_multiples_of_eight_everywhere():
    picture = np.random.default_rng(0).integers(0, 256, (48, 56, 3), np.uint8)
    places = {
        place
        for seed in range(100)
        for place in _places(_augmented(picture, (seed, 0), crop="random", grid=1.0), picture)
    }
    assert places == _multiples_of_eight((48, 56))


def test_the_grid_comes_as_often_as_its_probability():
    picture = np.random.default_rng(0).integers(0, 256, (72, 88, 3), np.uint8)
    windows = [_augmented(picture, (seed, 0), crop="random", grid=0.7) for seed in range(100)]
    on_grid = sum(_places(window, picture)[0] in _multiples_of_eight((72, 88)) for window in windows)
    assert 55 < on_grid < 85


def test_windows_that_are_saved_again_on_the_grid_are_windows_of_the_whole_image_saved_again():
    """Where colours are whole, blocks of a JPEG know nothing of each other."""
    picture = _picture()
    whole = np.asarray(Image.open(io.BytesIO(_encoded(picture, "JPEG", quality=60, subsampling=0))))
    options = {"crop": "random", "jpeg": 1.0, "jpeg_range": (60, 60), "full_colour": 1.0}
    aligned = [_places(_augmented(picture, (seed, 0), grid=1.0, **options), whole) for seed in range(10)]
    assert all(found and found[0] in _multiples_of_eight((72, 88)) for found in aligned)
    anywhere = [_places(_augmented(picture, (seed, 0), **options), whole) for seed in range(10)]
    assert sum(bool(found) for found in anywhere) < 3


def test_untouched_windows_are_windows_of_the_picture_as_often_as_asked():
    picture = np.random.default_rng(0).integers(0, 256, (40, 44, 3), np.uint8)
    everything = dict.fromkeys(("jpeg", "blur", "noise", "resize"), 1.0)
    windows = [_augmented(picture, (seed, 0), crop="random", untouched=0.6, **everything) for seed in range(60)]
    assert 25 < sum(bool(_places(window, picture)) for window in windows) < 47


def test_blur_equals_scipys_gaussian():
    from scipy import ndimage

    picture = _picture()
    expected = ndimage.gaussian_filter(picture.astype(float), (1.0, 1.0, 0), mode="mirror", radius=(4, 4, 0))
    ours = random_blur(picture, np.random.default_rng(0), (1.0, 1.0))
    assert np.abs(ours - expected).max() <= 0.51  # rounded to whole levels


def test_noise_has_the_deviation_of_the_range():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert random_noise(grey, np.random.default_rng(0), (4.0, 4.0)).std() == pytest.approx(4.0, rel=0.05)


def test_all_filters_and_factors_of_the_range_are_drawn():
    picture = np.random.default_rng(0).integers(0, 256, (72, 72, 3), np.uint8)
    random = np.random.default_rng(1)
    resized = [random_resize(picture, random, (0.5, 1.5), 32) for _ in range(200)]
    sides = [one.shape[0] for one in resized]
    assert (min(sides), max(sides)) == (36, 108)
    of_one_size = {one.tobytes() for one in resized if one.shape[0] == sides[0]}
    assert len(of_one_size) <= 3


def test_resizing_never_makes_a_window_impossible():
    picture = _picture(40, 48)
    for seed in range(20):
        assert _augmented(picture, (seed, 0), resize=1.0, resize_range=(0.1, 0.2), crop="random").shape == (
            SIZE,
            SIZE,
            3,
        )


def test_the_stream_alone_decides():
    everything = {
        **dict.fromkeys(("jpeg", "blur", "noise", "resize", "again", "webp", "full_colour", "grid"), 0.5),
        **{"crop": "random", "flip": True, "turn": True, "untouched": 0.1},
    }
    picture = _picture()
    windows = [_augmented(picture, (7, number), **everything) for number in range(4)]
    for number, window in enumerate(windows):
        np.testing.assert_array_equal(_augmented(picture, (7, number), **everything), window)
    assert (_augmented(picture, (8, 0), **everything) != windows[0]).any()


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
