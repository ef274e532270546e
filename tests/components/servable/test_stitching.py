"""Stitched heatmaps against a plain loop over cells."""

import numpy as np
import tensorflow as tf

from components.features.views import Views, places
from components.servable.stitching import SIDE, stitch

SIZE, PLACES = 64, 8


def views_of(*shapes, most=9):
    starts = [places(tf.constant(shape), SIZE, most).numpy() for shape in shapes]
    rows = np.repeat(np.arange(len(shapes)), [len(one) for one in starts]).astype(np.int32)
    windows = tf.zeros((len(rows), SIZE, SIZE, 3), tf.uint8)
    return Views(windows, tf.constant(rows), tf.constant(np.concatenate(starts)), tf.constant(shapes))


def by_hand(maps, views):
    sizes, starts, rows = (part.numpy() for part in (views.sizes, views.starts, views.rows))
    stitched = np.zeros((len(sizes), maps.shape[1], SIDE, SIDE))
    for number, (height, width) in enumerate(sizes):
        for row in range(SIDE):
            for column in range(SIDE):
                y, x = height * (row + 0.5) / SIDE, width * (column + 0.5) / SIDE
                seen = [
                    one[:, int((y - top) / SIZE * PLACES), int((x - left) / SIZE * PLACES)]
                    for one, (top, left), owner in zip(maps, starts, rows, strict=True)
                    if owner == number and 0 <= y - top < SIZE and 0 <= x - left < SIZE
                ]
                stitched[number, :, row, column] = np.mean(seen, axis=0) if seen else 0.0
    return stitched


def test_cells_hold_the_mean_of_the_windows_over_them():
    views = views_of((64, 64), (300, 90), (64, 200), (700, 900))
    maps = np.random.default_rng(0).normal(size=(len(views.rows), 2, PLACES, PLACES)).astype(np.float32)
    np.testing.assert_allclose(tf.function(stitch)(tf.constant(maps), views), by_hand(maps, views), atol=1e-6)


def test_what_no_window_covers_says_nothing():
    views = views_of((640, 640), most=1)
    stitched = stitch(tf.ones((1, 1, PLACES, PLACES)), views).numpy()[0, 0]
    assert stitched[0, 0] == 0.0
    assert stitched[SIDE // 2, SIDE // 2] == 1.0
    assert stitched.mean() < 0.02


def test_a_mirrored_image_shows_its_own_part_alone():
    """The map's places beyond the image are the mirror's, and are not laid over anything."""
    maps = np.zeros((1, 1, PLACES, PLACES), np.float32)
    maps[..., PLACES // 2 :] = 1.0
    assert stitch(tf.constant(maps), views_of((64, 32))).numpy().max() == 0.0
