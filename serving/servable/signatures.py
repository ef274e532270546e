"""What a servable can be asked: names, types and shapes, without TensorFlow's classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape that a signature declares for one tensor.

    Attributes:
        dtype: name of the type, e.g. "string" or "float32".
        shape: a size for each axis, None where any will do; or None if even the rank is open.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def admits(self, shape: Sequence[int]) -> bool:
        """Says whether an array of this shape may be fed."""
        if self.shape is None:
            return True
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    def written(self) -> str:
        """Returns the shape for a message, e.g. "[batch, 128]"."""
        if self.shape is None:
            return "[...]"
        return "[" + ", ".join("batch" if size is None else str(size) for size in self.shape) + "]"


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of one signature, by name."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
