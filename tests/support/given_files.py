"""Image trees in which something beside the picture differs between the classes, and what datasets record of it."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from components.examples import names
from tests.support.images import noise

_NUMBERS = (names.LABEL, names.HEIGHT, names.WIDTH, names.GIVEN_HEIGHT, names.GIVEN_WIDTH, names.RECOMPRESSION)
_STRINGS = (names.IMAGE_BYTES, names.SOURCE, names.PATH, names.FORMAT, names.COLOUR_MODE, names.COMPRESSION)


def tree_of_formats(root: Path, real: str, fake: str, count: int, side: int = 32, **real_options: Any) -> Path:
    """Writes `count` images of noise to real/real_a in one format and as many to fake/gan_a in another."""
    for folder, image_format, seed in (("real/real_a", real, 0), ("fake/gan_a", fake, count)):
        options = real_options if folder.startswith("real") else {}
        write_images(
            root / folder, [noise(seed + number, side, side) for number in range(count)], image_format, options
        )
    return root


def write_images(folder: Path, images: list[np.ndarray], image_format: str, options: dict[str, Any]) -> None:
    """Writes images as numbered files of a format."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[image_format]
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.{suffix}", image_format, **options)


def records(span: Path) -> list[dict[str, Any]]:
    """Reads the examples of all splits of a prepared span."""
    import tensorflow as tf

    spec = {
        **{name: tf.io.FixedLenFeature([], tf.int64) for name in _NUMBERS},
        **{name: tf.io.FixedLenFeature([], tf.string) for name in _STRINGS},
    }
    files = sorted(str(path) for path in span.glob("*/*.tfrecord.gz"))
    return [
        {name: value.numpy() for name, value in tf.io.parse_single_example(record, spec).items()}
        for record in tf.data.TFRecordDataset(files, compression_type="GZIP")
    ]
