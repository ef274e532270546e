"""Any number of images as requests that a server takes, and their answers as one list again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from serving import contract
from serving.client.answers import Answer, PredictionError

_Error = TypeVar("_Error", bound=PredictionError)

# Images of one request together; base64 makes them a third larger, which MAX_REQUEST_BYTES leaves room for.
BATCH_BYTES = contract.MAX_IMAGE_BYTES


@dataclass(frozen=True)
class Batch:
    """A run of images that are asked for in one request.

    Attributes:
        start: position of the first in the caller's list.
        images: encoded images.
    """

    start: int
    images: Sequence[bytes]


def split(images: Sequence[bytes], rows: int, max_bytes: int = BATCH_BYTES) -> list[Batch]:
    """Cuts a list of images into requests.

    Args:
        images: encoded images.
        rows: most images in one request.
        max_bytes: most bytes in one request, unless a single image has more.

    Returns:
        batches that together hold every image once, in order; none for no image.

    Raises:
        TypeError: if images is a single image, or one of them is no bytes.
        PredictionError: INVALID_ARGUMENT with the row, if an image is larger than any server takes.
    """
    if isinstance(images, bytes | bytearray | memoryview | str):
        raise TypeError(f"images: must be a sequence of encoded images, got one {type(images).__name__}. Put it in [].")
    starts: list[int] = []
    total = 0
    for row, image in enumerate(images):
        if not isinstance(image, bytes):
            raise TypeError(f"images[{row}]: must be bytes, got {type(image).__name__}.")
        if len(image) > contract.MAX_IMAGE_BYTES:
            raise PredictionError(
                "INVALID_ARGUMENT",
                f"{contract.INPUT_IMAGE_BYTES}[{row}]: holds {len(image):,} bytes, above the limit of "
                f"{contract.MAX_IMAGE_BYTES:,}",
            )
        total += len(image)
        if not starts or row - starts[-1] == rows or total > max_bytes:
            starts.append(row)
            total = len(image)
    ends = [*starts[1:], len(images)]
    return [Batch(start, images[start:end]) for start, end in zip(starts, ends, strict=False)]


def joined(answers: Iterable[list[Answer]]) -> list[Answer]:
    """Returns the answers of consecutive batches as one list."""
    return [answer for batch in answers for answer in batch]


def in_callers_rows(error: _Error, start: int) -> _Error:
    """Returns an error whose message names the row of the caller's list, not of the batch.

    Args:
        error: what a request failed with.
        start: position of the request's first image in the caller's list.
    """
    if error.bad_row is None or start == 0:
        return error
    moved = type(error)(error.code, f"{contract.INPUT_IMAGE_BYTES}[{start + error.bad_row}]: {error.reason}")
    moved.__cause__ = error
    return moved
