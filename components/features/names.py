"""Names of the features of one tf.Example in a prepared dataset.

One image is one example. The image stays encoded; whatever is derived from it is computed by the served graph, so that
training, evaluation and serving see the same numbers.
"""

IMAGE_BYTES = "image_bytes"  # bytes [1]: the encoded image, PNG or JPEG, height and width as below
LABEL = "label"  # int64 [1]: 0 real, 1 fake
SOURCE = "source"  # bytes [1]: name of the directory that the image came from, e.g. progan_celeba
ARCHITECTURE = "architecture"  # bytes [1]: the source's name up to the first underscore, e.g. progan
PATH = "path"  # bytes [1]: path relative to the image tree, e.g. fake/progan_celeba/000123.png
FORMAT = "format"  # bytes [1]: format of the file that was given: PNG, JPEG or WEBP
HEIGHT = "height"  # int64 [1]: height in pixels as stored
WIDTH = "width"  # int64 [1]: width in pixels as stored

REQUIRED = (IMAGE_BYTES, LABEL, SOURCE, ARCHITECTURE, PATH, FORMAT, HEIGHT, WIDTH)


def architecture_of(source: str) -> str:
    """Returns the generator architecture of a source: its name up to the first underscore.

    Example:
        >>> architecture_of("stylegan2_tpdne")
        'stylegan2'
    """
    return source.split("_", maxsplit=1)[0]
