"""Names of the features of one tf.Example in a prepared dataset.

One image is one example. The image stays encoded; whatever is derived from it is computed by the served graph, so that
training, evaluation and serving see the same numbers.
"""

from collections.abc import Iterable
from typing import Literal

# What a head stands for: one source, or all sources of one generator architecture.
AttributionLevel = Literal["instance", "architecture"]

IMAGE_BYTES = "image_bytes"  # bytes [1]: the encoded image, PNG or JPEG, height and width as below
LABEL = "label"  # int64 [1]: 0 real, 1 fake
SOURCE = "source"  # bytes [1]: name of the directory that the image came from, e.g. progan_celeba
ARCHITECTURE = "architecture"  # bytes [1]: the source's name up to the first underscore, e.g. progan
PATH = "path"  # bytes [1]: path relative to the image tree, e.g. fake/progan_celeba/000123.png
FORMAT = "format"  # bytes [1]: format of the file that was given: PNG, JPEG or WEBP
HEIGHT = "height"  # int64 [1]: height in pixels as stored
WIDTH = "width"  # int64 [1]: width in pixels as stored
# bytes [1]: what was done to the image before it was stored, in order: "none", or e.g. "blur+noise". Datasets of before
# it was written lack it.
PERTURBATION = "perturbation"

# Of the file as it was given, before crop and encoding. Datasets that were not made by `prepare` may lack these.
GIVEN_HEIGHT = "given_height"  # int64 [1]: height in pixels
GIVEN_WIDTH = "given_width"  # int64 [1]: width in pixels
COLOUR_MODE = "colour_mode"  # bytes [1]: Pillow's name of the mode: L, RGB, P and so on
COMPRESSION = "compression"  # bytes [1]: of a JPEG its quality and chroma subsampling, else "not JPEG"
RECOMPRESSION = "recompression"  # int64 [1]: JPEG quality at which every image was stored alike, 0 if it was not

REQUIRED = (IMAGE_BYTES, LABEL, SOURCE, ARCHITECTURE, PATH, FORMAT, HEIGHT, WIDTH)


def perturbation_of(perturbations: Iterable[str]) -> str:
    """Returns the value of PERTURBATION for the names of the perturbations that were applied, in their order.

    Example:
        >>> perturbation_of(["blur", "noise"]), perturbation_of([])
        ('blur+noise', 'none')
    """
    return "+".join(perturbations) or "none"


def architecture_of(source: str) -> str:
    """Returns the generator architecture of a source: its name up to the first underscore.

    Example:
        >>> architecture_of("stylegan2_tpdne")
        'stylegan2'
    """
    return source.split("_", maxsplit=1)[0]


def group_of(source: str, level: AttributionLevel) -> str:
    """Returns what a head may be named after: the source itself, or at architecture level its architecture.

    Example:
        >>> group_of("stylegan2_tpdne", "instance"), group_of("stylegan2_tpdne", "architecture")
        ('stylegan2_tpdne', 'stylegan2')
    """
    return architecture_of(source) if level == "architecture" else source
