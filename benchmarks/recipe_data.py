"""Images of benchmarks/recipes.py: an image tree, its division into folds, splits, copies and model inputs."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    from components.features.parameters import InputParameters
    from components.features.transform import TransformFunction
    from components.training.examples import Split

FOLDS = 5
EVAL_SHARE = 8
PLAIN = "plain"
_SEED = 0
_BLOCK = 8  # models halve the resolution three times


class Image(NamedTuple):
    """One image of the tree."""

    path: str
    source: str
    label: int
    encoded: bytes


class TestImages(NamedTuple):
    """Test images as they are, or copies of one kind.

    Attributes:
        split: Images.
        size: Height and width in pixels of the central window that is judged: the model's size, or for smaller copies
            what they have of it.
    """

    split: "Split"
    size: int


def read_tree(root: Path) -> list[Image]:
    """Return the images of an image tree, in the order of paths."""
    found = []
    for label, kind in enumerate(("real", "fake")):
        for path in sorted((root / kind).glob("*/*")):
            if path.is_file():
                found.append(Image(str(path.relative_to(root)), path.parent.name, label, path.read_bytes()))
    if not found:
        raise SystemExit(f"{root}: holds no image in real/<source>/ or fake/<source>/.")
    return found


def tree_digest(images: Sequence[Image]) -> str:
    """Return a digest of paths and contents."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.path.encode() + hashlib.sha256(image.encoded).digest())
    return digest.hexdigest()


def divide(images: Sequence[Image], fold: int) -> dict[str, list[Image]]:
    """Divide a tree into train, eval and test; each source by itself."""
    parts: dict[str, list[Image]] = {"train": [], "eval": [], "test": []}
    for source in sorted({image.source for image in images}):
        members = [image for image in images if image.source == source]
        members.sort(key=lambda image: hashlib.sha256(image.encoded).digest())
        rest = [image for number, image in enumerate(members) if number % FOLDS != fold]
        parts["test"] += members[fold::FOLDS]
        parts["eval"] += rest[::EVAL_SHARE]
        parts["train"] += [image for number, image in enumerate(rest) if number % EVAL_SHARE]
    return parts


def split_of(name: str, images: Sequence[Image]) -> "Split":
    """Return images as trainers read them."""
    from components.training.encoded_images import EncodedImages
    from components.training.examples import Split

    return Split(
        name,
        (),
        np.array([image.label for image in images], np.int32),
        np.array([image.source for image in images]),
        np.array([image.path for image in images]),
        EncodedImages([[image.encoded for image in images]]),
    )


def tested_images(images: Sequence[Image], kinds: Sequence[str], inputs: "InputParameters") -> dict[str, TestImages]:
    """Return the test images as they are, under "plain", and as copies of each kind.

    Copies that are smaller than the model are judged whole, down to a multiple of 8 px, by models that average over
    places.

    Raises:
        SystemExit: if copies are smaller than a model that does not.
    """
    tested = {PLAIN: TestImages(split_of("test", images), inputs.size)}
    for kind in kinds:
        sides, copies = [], []
        for image in images:
            encoded, side = _copy(image, kind)
            sides.append(side)
            copies.append(image._replace(encoded=encoded))
        size = min(inputs.size, min(sides) // _BLOCK * _BLOCK)
        if size < inputs.size and not inputs.pooled:
            raise SystemExit(f"{kind}: copies of {size} px are smaller than the model, {inputs.size} px.")
        tested[kind] = TestImages(split_of(kind, copies), size)
    return tested


def _copy(image: Image, kind: str) -> tuple[bytes, int]:
    """Return a copy of an image, and its smaller side."""
    from components.dataset.images import decode_image
    from components.dataset.perturbed_copies import perturbed
    from serving.contract import MAX_IMAGE_PIXELS

    pixels = decode_image(image.encoded, MAX_IMAGE_PIXELS).pixels
    encoded = perturbed(pixels, kind, image.path, _SEED)
    return encoded, min(decode_image(encoded, MAX_IMAGE_PIXELS).pixels.shape[:2])


def decoder(inputs: "InputParameters", size: int) -> Callable[["tf.Tensor"], "tf.Tensor"]:
    """Return the function from encoded images, string (batch,), to inputs of a model that averages over places."""
    from components.features import image, preprocessing

    return lambda encoded: preprocessing.features_without_statistics(
        image.decode_windows(encoded, size), inputs.representation, inputs.colour
    )


def transform_of(train: "Split", inputs: "InputParameters") -> "TransformFunction":
    """Return what Transform would export: for spectra, with mean and variance over the train split."""
    import tensorflow as tf

    from components.features import dct, image

    if inputs.pooled:
        decode = decoder(inputs, inputs.size)
        return lambda encoded: {inputs.representation: decode(encoded)}

    def log_spectrum(encoded: tf.Tensor) -> tf.Tensor:
        return dct.log_spectrum(image.channels(image.decode_windows(encoded, inputs.size), inputs.colour))

    encoded = train.images.take(np.arange(train.count)) if train.images else []
    batches = [tf.constant(encoded[start : start + 32]) for start in range(0, len(encoded), 32)]
    spectra = np.concatenate([log_spectrum(batch).numpy() for batch in batches])
    mean, variance = tf.constant(spectra.mean(axis=0)), tf.constant(spectra.var(axis=0))
    return lambda images: {inputs.representation: dct.normalise(log_spectrum(images), mean, variance)}


def inputs_of(
    tested: TestImages, transform: "TransformFunction", inputs: "InputParameters", rows: np.ndarray
) -> "tf.Tensor":
    """Return the model inputs of some test images: float32 (rows, height, width, channels)."""
    import tensorflow as tf

    if tested.split.images is None:
        raise ValueError(f"split '{tested.split.name}': must hold its encoded images, it has none.")
    encoded = tf.constant(tested.split.images.take(rows))
    if tested.size == inputs.size:
        return transform(encoded)[inputs.representation]
    return decoder(inputs, tested.size)(encoded)


def without(parts: Mapping[str, Sequence[Image]], source: str) -> dict[str, list[Image]]:
    """Return parts of a tree without a source in what is learnt from; test images stay."""
    return {
        name: [image for image in images if name == "test" or image.source != source] for name, images in parts.items()
    }
