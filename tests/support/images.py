"""Small images and datasets for tests, and the preprocessing of the paper written a second time, without TensorFlow."""

import io
from pathlib import Path

import numpy as np
import scipy.fft
from PIL import Image

SIZE = 32
REAL, SMOOTH, STRIPES = "real_noise", "smooth_a", "stripes_b"
SOURCES = (REAL, SMOOTH, STRIPES)


def encode(image: np.ndarray, image_format: str = "PNG") -> bytes:
    """Encodes a uint8 array of shape (height, width) or (height, width, 3 or 4)."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, image_format)
    return stream.getvalue()


def noise(seed: int, height: int = SIZE, width: int = SIZE) -> np.ndarray:
    """Returns a uint8 RGB image of white noise."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def central_window(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """The documented rule, in numpy: the window at the centre, at native resolution, odd pixels to bottom and right."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def log_spectrum_by_scipy(window: np.ndarray) -> np.ndarray:
    """Grey by Pillow, DCT by SciPy in float64: float64 (size, size, 1)."""
    grey = np.asarray(Image.fromarray(window).convert("L"), np.float64)
    return np.log(np.abs(scipy.fft.dctn(grey, type=2, norm="ortho")) + 1e-12)[..., np.newaxis]


def source_image(source: str, rng: np.random.Generator) -> np.ndarray:
    """Returns one image of a source, 36 x 40 pixels."""
    image = rng.integers(0, 256, (36, 40, 3), np.uint8)
    if source == SMOOTH:
        # An eighth of the noise stays: spectra of doubled pixels hold zeros, whose logarithm is ill-conditioned.
        doubled = image[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)
        return doubled // 8 * 7 + image // 8
    if source == STRIPES:
        image[::2] //= 4
    return image


def write_examples(path: Path, rows: list[tuple[str, str, bytes]]) -> None:
    """Writes (source, path, encoded image) rows as GZIP-compressed tf.Examples with all the features of a dataset."""
    import tensorflow as tf

    from components.examples import names

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for source, image_path, encoded in rows:
            height, width = np.asarray(Image.open(io.BytesIO(encoded))).shape[:2]
            feature = {
                names.IMAGE_BYTES: of_bytes(encoded),
                names.LABEL: of_int(int(source != REAL)),
                names.SOURCE: of_bytes(source.encode()),
                names.ARCHITECTURE: of_bytes(source.split("_")[0].encode()),
                names.PATH: of_bytes(image_path.encode()),
                names.FORMAT: of_bytes(b"PNG"),
                names.HEIGHT: of_int(height),
                names.WIDTH: of_int(width),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def write_dataset(folder: Path, counts: tuple[int, int, int], seed: int) -> None:
    """Writes train, eval, test (images of each source) and an empty testonly split, in two shards each."""
    rng = np.random.default_rng(seed)
    for split, count in zip(("train", "eval", "test", "testonly"), (*counts, 0), strict=True):
        rows = []
        for number in range(count):
            for source in SOURCES:
                kind = "real" if source == REAL else "fake"
                rows.append((source, f"{kind}/{source}/{split}_{number:03d}.png", encode(source_image(source, rng))))
        half = len(rows) // 2
        for shard, part in enumerate((rows[:half], rows[half:])):
            write_examples(folder / split / f"examples-{shard:05d}-of-00002.tfrecord.gz", part)
