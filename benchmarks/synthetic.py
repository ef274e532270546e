"""Synthetic images as a prepared dataset holds them, for benchmarks of training."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from components.examples import names
from components.examples.records import RecordWriter, encode_example
from components.features import dct, image
from components.features.transform import TransformFunction
from components.training.examples import Split, read_split

_GRAIN = 1.5  # standard deviation of the noise, of 255: with it a PNG is as large as that of a photo of its size


def encoded_images(count: int, size: int) -> list[bytes]:
    """Returns PNG files of smooth colours with a grain: size x size px, RGB, about 0.6 of the pixels' bytes."""
    draw = np.random.default_rng(0)
    images = []
    for _ in range(count):
        coarse = Image.fromarray(draw.integers(0, 256, (size // 8, size // 8, 3), np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
        grainy = np.clip(smooth + draw.normal(0.0, _GRAIN, smooth.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(grainy).save(file, "png")
        images.append(file.getvalue())
    return images


def write_dataset(path: Path, images: list[bytes]) -> None:
    """Writes images as a prepared dataset has them, every second one labelled fake."""
    with RecordWriter(path) as writer:
        for number, encoded in enumerate(images):
            writer.write(
                encode_example(
                    {
                        names.IMAGE_BYTES: encoded,
                        names.LABEL: number % 2,
                        names.SOURCE: b"gan_a" if number % 2 else b"camera",
                        names.PATH: b"%06d.png" % number,
                    }
                )
            )


def read_dataset(path: Path) -> Split:
    """Returns the split that `write_dataset` wrote."""
    return read_split("train", [str(path)], with_images=True)


def transform_of(size: int) -> TransformFunction:
    """Returns a preprocessing function with made-up DCT statistics, in place of the one that Transform exports."""

    def transform(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        windows = image.decode_windows(encoded, size)
        spectrum = dct.log_spectrum(image.grey(windows))
        return {"pixel": image.pixels(windows), "dct": (spectrum - 2.0) / 1.5}

    return transform
