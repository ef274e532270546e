"""From published weight files to a servable: one primary module, as many heads as there are attribution files.

Preprocessing is the published one: RGB / 127.5 - 1, or (log|DCT| - mean) / deviation with the published statistics.
The DCT is computed as the published scorer does, by a float32 FFT. In smooth images many coefficients are near zero,
where the logarithm magnifies rounding: there two exact formulations differ by up to 3e-4 in the score, and only the
same one gives the same score.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.features import image
from components.features.dct import LOG_OFFSET
from components.features.parameters import InputParameters, Representation
from components.models.published import PublishedModel, differing_layers, read_published
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from serving import atomic, contract

PUBLISHED_THRESHOLD = 0.5  # of all modules, in the published method

MEAN_FILE = "mean.npy"
DEVIATION_FILE = "std_dev.npy"
VARIANCE_FILE = "variance.npy"
# Both files are written from the same float64 numbers; only the square root rounds.
_AGREEMENT = 1e-6

_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FILE_NAME = re.compile(r"attribution_[^_]+_(?P<source>.+?)(_(dct|aug|blur|crop|jpeg|noise|multi|lr\d+|es\d+))*")


@dataclass(frozen=True)
class ImportedServable:
    """What an import wrote.

    Attributes:
        servable: the directory that holds saved_model.pb.
        representation: "pixel" or "dct".
        size: height and width of the window in pixels.
        primary: file that the primary module was taken from; all given files hold the same one.
        sources: source -> file of its head, in the order of the outputs.
    """

    servable: str
    representation: Representation
    size: int
    primary: str
    sources: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Statistics:
    """Published statistics of the log-spectrum.

    Attributes:
        mean: float64 (size, size), mean of each coefficient over the training images.
        deviation: float64 (size, size), population standard deviation of each coefficient, above 0.
    """

    mean: np.ndarray
    deviation: np.ndarray


class PublishedTransform(tf.Module):
    """Encoded images to the input of published models, as `components.features.transform` promises.

    Args:
        size: window in pixels.
        statistics: of the log-spectrum; None leaves out "dct", which models of pixels do not read.
    """

    def __init__(self, size: int, statistics: Statistics | None) -> None:
        super().__init__(name="transform")
        self._size = size
        self._mean = self._deviation = None
        if statistics is not None:
            self._mean = tf.constant(statistics.mean[..., np.newaxis], tf.float32)
            self._deviation = tf.constant(statistics.deviation[..., np.newaxis], tf.float32)

    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Transforms encoded images.

        Args:
            image_bytes: string (batch,).

        Returns:
            {"pixel": float32 (batch, size, size, 3), -1..1} and, with statistics, "dct": float32
            (batch, size, size, 1), the standardised log-spectrum. The published method divides by the deviation as it
            is: no floor here.
        """
        windows = image.decode_windows(image_bytes, self._size)
        features = {"pixel": image.pixels(windows)}
        if self._mean is not None:
            features["dct"] = (_log_spectrum(image.grey(windows)) - self._mean) / self._deviation
        return features


def import_published(
    files: Sequence[Path], servable: Path, statistics: Path | None = None, sources: Sequence[str] | None = None
) -> ImportedServable:
    """Writes a servable of published weights, complete or not at all.

    Args:
        files: published .h5 files whose primary modules are bit-equal: files of a primary module, which add no head,
            and attribution files, which add one each, in this order.
        servable: directory to write; must not hold anything yet.
        statistics: folder of mean.npy and std_dev.npy or variance.npy; for DCT models, and only for them.
        sources: names of the heads, one for each attribution file in order; None takes them from the files' names.

    Returns:
        What was written.

    Raises:
        ValueError: if a file, the statistics or a name is unfit, if files hold different primary modules, or if
            something stands where the servable would be written.
        OSError: if the servable cannot be written.
    """
    if not files:
        raise ValueError("no file to import. Give at least one published .h5 file.")
    servable = Path(servable)
    if servable.exists() and not (servable.is_dir() and not any(servable.iterdir())):
        raise ValueError(f"{servable}: must be a new or an empty directory; something stands there. Name another one.")
    models = [read_published(file) for file in files]
    _require_one_primary(models)
    attributing = [model for model in models if model.head is not None]
    names = source_names([model.path for model in attributing], sources)
    first = models[0]
    representation: Representation = "pixel" if first.pooled else "dct"
    transform = PublishedTransform(first.size, _statistics_for(first, statistics))
    _export_whole(
        servable,
        transform,
        InputParameters(representation=representation, size=first.size),
        first,
        dict(zip(names, attributing, strict=True)),
    )
    heads = {name: str(model.path) for name, model in zip(names, attributing, strict=True)}
    return ImportedServable(str(servable), representation, first.size, str(first.path), heads)


def source_names(files: Sequence[Path], sources: Sequence[str] | None = None) -> list[str]:
    """Names the heads of attribution files.

    Args:
        files: attribution files, in the order of the heads.
        sources: the names to use; None derives each from its file's name, `attribution_<data set>_<source>.h5`, with
            the variants that training added at the end (dct, aug, blur, crop, jpeg, noise, multi, lr<N>, es<N>) left
            out. A file named otherwise gives its whole name, without .h5.

    Returns:
        One name a file.

    Raises:
        ValueError: if their number is not that of the files, or a name is unfit, reserved or used twice.

    Example:
        >>> source_names([Path("attribution_ganfp_progan_dct_aug.h5")])
        ['progan']
    """
    if sources is None:
        names = [match["source"] if (match := _FILE_NAME.fullmatch(file.stem)) else file.stem for file in files]
    else:
        names = list(sources)
    if len(names) != len(files):
        raise ValueError(
            f"sources: must give one name for each attribution file, got {len(names)} names for {len(files)} files "
            f"({', '.join(str(file) for file in files) or 'none of the files has a head'})."
        )
    reserved = ("primary", *contract.RESERVED_VERDICTS)
    for name, file in zip(names, files, strict=True):
        if not _SOURCE_NAME.fullmatch(name):
            raise ValueError(
                f"source '{name}' of {file}: must start with a letter or digit and hold only letters, digits, '_', "
                "'.' and '-', at most 100. Name the heads by `sources`."
            )
        if name in reserved:
            raise ValueError(
                f"source '{name}' of {file}: must not be one of {', '.join(reserved)}. Name the heads by `sources`."
            )
        if names.count(name) > 1:
            twice = [str(other) for other, its_name in zip(files, names, strict=True) if its_name == name]
            raise ValueError(
                f"source '{name}': names the heads of {' and '.join(twice)}; each must have a name of its own. "
                "Name the heads by `sources`."
            )
    return names


def read_statistics(folder: Path, size: int) -> Statistics:
    """Reads published statistics of the log-spectrum.

    Args:
        folder: holds mean.npy, and std_dev.npy or variance.npy or both.
        size: height and width that the model takes.

    Returns:
        Mean and standard deviation of each coefficient.

    Raises:
        ValueError: if a file is missing or no array, has another shape or type, holds values that are not finite or
            deviations that are not above 0, or if std_dev.npy is not the root of variance.npy.
    """
    folder = Path(folder)
    present = [name for name in (DEVIATION_FILE, VARIANCE_FILE) if (folder / name).is_file()]
    if not (folder / MEAN_FILE).is_file() or not present:
        raise ValueError(
            f"{folder}: must hold {MEAN_FILE} and {DEVIATION_FILE} or {VARIANCE_FILE}, the statistics that the model "
            "was trained with."
        )
    mean = _read_array(folder / MEAN_FILE, size)
    spreads = {name: _read_array(folder / name, size) for name in present}
    for name, values in spreads.items():
        # The graph computes in float32, where what is above 0 in float64 may be 0.
        if not (values.astype(np.float32) > 0.0).all():
            raise ValueError(f"{folder / name}: must be above 0 everywhere, found {values.min()}.")
    deviations = {name: np.sqrt(values) if name == VARIANCE_FILE else values for name, values in spreads.items()}
    deviation = deviations[present[0]]
    if not all(np.allclose(deviation, other, rtol=_AGREEMENT, atol=0.0) for other in deviations.values()):
        raise ValueError(
            f"{folder}: {DEVIATION_FILE} must be the square root of {VARIANCE_FILE}, and is not. "
            "Remove the one that does not belong to the model."
        )
    return Statistics(mean, deviation)


def _log_spectrum(grey: tf.Tensor) -> tf.Tensor:
    """Returns log(|DCT| + 1e-12) of float32 (batch, size, size, 1), values 0..255, in the same shape."""
    # TensorFlow's Fourier transform refuses an empty batch.
    return tf.cond(tf.shape(grey)[0] > 0, lambda: _log_spectrum_of_some(grey), lambda: grey)


def _log_spectrum_of_some(grey: tf.Tensor) -> tf.Tensor:
    spectrum = grey[..., 0]
    for _ in range(2):  # first along the columns, then along the rows; the second transposition undoes the first
        spectrum = tf.signal.dct(tf.transpose(spectrum, (0, 2, 1)), type=2, norm="ortho")
    return tf.math.log(tf.abs(spectrum) + LOG_OFFSET)[..., tf.newaxis]


def _read_array(path: Path, size: int) -> np.ndarray:
    try:
        # Mapped, not read: a header that promises more than the file holds is an error before anything is allocated.
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read as a NumPy array ({error}).") from error
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path}: must hold one array, found {type(values).__name__}.")
    if values.shape != (size, size) or values.dtype.kind != "f":
        raise ValueError(
            f"{path}: must be floating-point of shape {(size, size)}, as the model's input, "
            f"found {values.dtype} of shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: must be finite everywhere, found NaN or infinite values.")
    return np.asarray(values, np.float64)


def _statistics_for(model: PublishedModel, folder: Path | None) -> Statistics | None:
    if model.pooled and folder is not None:
        raise ValueError(f"statistics: {model.path} takes pixels, which have no statistics. Leave them out.")
    if model.pooled:
        return None
    if folder is None:
        raise ValueError(
            f"{model.path}: takes the normalised DCT, of which the file holds no statistics. Give the directory "
            f"of {MEAN_FILE} and {DEVIATION_FILE} that were published with it by `statistics`."
        )
    return read_statistics(folder, model.size)


def _require_one_primary(models: Sequence[PublishedModel]) -> None:
    """Checks that all files hold the same primary module, to the bit."""
    first, *others = models
    found = []
    for other in others:
        if (other.size, other.pooled) != (first.size, first.pooled):
            found.append(f"{other.path} takes {_input_of(other)}, {first.path} takes {_input_of(first)}")
        elif layers := differing_layers(first.primary, other.primary):
            found.append(f"{other.path} differs from {first.path} in {', '.join(layers)}")
    if found:
        raise ValueError(
            "the files do not share one primary module, and a head only works on the one it was trained with: "
            f"{'; '.join(found)}. Import them into servables of their own."
        )


def _input_of(model: PublishedModel) -> str:
    return f"{'RGB pixels' if model.pooled else 'DCT'} of {model.size} x {model.size}"


def _export_whole(
    servable: Path,
    transform: PublishedTransform,
    inputs: InputParameters,
    first: PublishedModel,
    heads: dict[str, PublishedModel],
) -> None:
    """Write a servable whole or not at all."""
    points = OperatingPoints(PUBLISHED_THRESHOLD, dict.fromkeys(heads, PUBLISHED_THRESHOLD))
    modules = {name: model.head for name, model in heads.items() if model.head is not None}
    with atomic.create_directory(servable) as staging:
        export_servable(staging, AttributionModule(transform, inputs, first.primary, modules, points))
