"""Views of images of any size: which windows, where, and that nothing is rescaled."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.features import image
from components.features.parameters import SMALLEST_SIDE
from components.features.views import decode_views, grid, mirrored, places

SIZE = 64


def encoded(height, width, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return pixels, buffer.getvalue()


def views_of(*images, most=9):
    return tf.function(lambda batch: decode_views(batch, SIZE, most))(tf.constant(list(images), tf.string))


@pytest.mark.parametrize(
    ("height", "width", "most", "expected"),
    [
        (64, 64, 9, (1, 1)),
        (10, 65, 9, (1, 2)),
        (128, 128, 9, (2, 2)),
        (4000, 3000, 9, (3, 3)),
        (4000, 100, 9, (4, 2)),
        (100_000, 64, 9, (9, 1)),
        (4000, 3000, 1, (1, 1)),
        (4000, 3000, 2, (2, 1)),
        (4000, 3000, 16, (4, 4)),
    ],
)
def test_views_cover_the_image_as_far_as_they_may(height, width, most, expected):
    assert grid(height, width, 64, most) == expected


@pytest.mark.parametrize("most", [1, 2, 5, 9])
def test_places_in_the_graph_are_those_of_plain_python(most):
    random = np.random.default_rng(0)
    for height, width in random.integers(SMALLEST_SIDE, 700, (40, 2)).tolist():
        down, across = grid(height, width, SIZE, most)

        def along(side, count):
            room = max(side - SIZE, 0)
            exact = [room // 2] if count == 1 else [number * room // (count - 1) for number in range(count)]
            return [start // 8 * 8 for start in exact]

        expected = [(top, left) for top in along(height, down) for left in along(width, across)]
        assert places(tf.constant([height, width]), SIZE, most).numpy().tolist() == [list(place) for place in expected]


def test_an_image_of_the_windows_size_is_what_a_model_without_views_sees():
    _, data = encoded(SIZE, SIZE)
    expected = image.decode_windows(tf.constant([data]), SIZE)
    np.testing.assert_array_equal(views_of(data).windows, expected)


def test_a_single_view_is_the_central_window_on_the_grid_of_blocks():
    pixels, data = encoded(100, 131)
    np.testing.assert_array_equal(views_of(data, most=1).windows[0], pixels[16 : 16 + SIZE, 32 : 32 + SIZE])


def test_windows_are_pixels_of_the_image_and_reach_all_corners():
    pixels, data = encoded(152, 200)
    views = views_of(data)
    assert views.sizes.numpy().tolist() == [[152, 200]]
    starts = views.starts.numpy().tolist()
    for window, (top, left) in zip(views.windows.numpy(), starts, strict=True):
        np.testing.assert_array_equal(window, pixels[top : top + SIZE, left : left + SIZE])
    assert {(0, 0), (152 - SIZE, 200 - SIZE)} <= {tuple(start) for start in starts}


def test_images_of_several_sizes_keep_their_rows():
    images = [encoded(*shape, seed)[1] for seed, shape in enumerate([(64, 64), (300, 70), (64, 64)])]
    views = views_of(*images)
    assert views.rows.numpy().tolist() == [0, *[1] * grid(300, 70, SIZE, 9)[0] * grid(300, 70, SIZE, 9)[1], 2]
    for row, data in enumerate(images):
        alone = views_of(data).windows.numpy()
        np.testing.assert_array_equal(views.windows.numpy()[views.rows.numpy() == row], alone)


def test_smaller_images_are_mirrored_at_their_borders():
    pixels, data = encoded(70, 66)
    window = tf.function(lambda batch: decode_views(batch, 96, 9))(tf.constant([data])).windows.numpy()[0]
    np.testing.assert_array_equal(window, np.pad(pixels, ((0, 26), (0, 30), (0, 0)), "reflect"))


@pytest.mark.parametrize("side", [1, 2, 5, 40])
def test_mirroring_goes_to_and_fro_as_often_as_it_must(side):
    expected = np.pad(np.arange(side), (0, 64 - side), "reflect" if side > 1 else "edge")
    np.testing.assert_array_equal(mirrored(tf.constant(0), 64, tf.constant(side)), expected)


def test_an_empty_batch_has_no_views():
    views = views_of()
    assert views.windows.shape == (0, SIZE, SIZE, 3)
    assert views.sizes.shape == (0, 2)


def test_an_image_below_the_smallest_side_is_refused_with_its_row():
    fine, small = encoded(80, 80)[1], encoded(63, 200)[1]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\]: is 200 x 63 pixels, smaller"):
        views_of(fine, small)


def test_exif_orientation_is_applied_before_windows_are_cut():
    pixels = np.random.default_rng(0).integers(0, 256, (80, 160, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif, quality=100)
    assert views_of(buffer.getvalue()).sizes.numpy().tolist() == [[160, 80]]
