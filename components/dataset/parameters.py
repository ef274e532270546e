"""Parameters of preparing a dataset and of its confound check, validated before any file is touched."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from components.parameters import Parameters
from serving.contract import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS

ConfoundAction = Literal["warn", "fail", "off"]
CropMode = Literal["center", "celeba", "resize"]
PerturbMode = Literal["none", "blur", "crop", "jpeg", "noise", "multi"]
PerturbVariant = Literal["corrected", "reference"]
Recompression = Literal["png"] | int  # a JPEG quality
SplitOrder = Literal["hashed", "reference"]

CELEBA_SIZE = 128  # the only size that the window of Yu et al. 2019 is defined for
# Pillow itself refuses to open anything larger, as a decompression bomb.
PILLOW_PIXEL_LIMIT = 178_956_970
_LEGACY_SEED_LIMIT = 2**32 - 1
_BEST_JPEG_QUALITY = 100
_CONFOUND_LIMIT = 0.75
_LOSS_LIMIT = 0.1


class ConfoundParameters(Parameters):
    """What to do when something beside the picture tells real from fake.

    Attributes:
        action: "warn" writes it down and goes on; "fail" stops the run; "off" does not look.
        limit: balanced accuracy, 0.5..1, from which file format, JPEG compression, resolution or colour mode counts.
    """

    action: ConfoundAction = "warn"
    limit: float = Field(default=_CONFOUND_LIMIT, ge=0.5, le=1.0)


class PreparationParameters(Parameters):
    """How an image tree becomes a dataset.

    Attributes:
        size: side of the stored images in pixels. Larger images are cropped, smaller ones rejected; none is rescaled,
            unless crop is "resize", since resampling overwrites the traces that we look for.
        crop: "center" cuts the middle; "celeba" cuts the face window of Yu et al. 2019 (rows 57:185 and columns 25:153
            of the 178 x 218 px CelebA images; size 128 only); "resize" shrinks the central square, which changes
            fingerprints: only to reproduce published set-ups that did so.
        perturb: what is done to each image: nothing, one perturbation with probability 1/2, or "multi": each of the
            four with probability 1/2 (see perturbations.py).
        perturb_mode: "corrected" perturbs as the papers state; "reference" as the published implementation really does
            (see reference_perturbations.py), for comparison with its numbers.
        recompress: last step for every image, so that its file does not tell its class: a JPEG quality of 1 to 100 (see
            encoding.py for what that masks), "png" for the same container alone, None to keep what was given.
        confound: what to do if file format, JPEG compression, resolution or colour mode tells real from fake: "warn",
            "fail" before anything is written, or "off".
        confound_limit: balanced accuracy from which such a property counts, 0.5..1.
        max_loss: share of a source's images, 0..1, above which their rejection is a failure (see losses.py). The
            dataset does not depend on it.
        train: images a source (integer) or fraction of a source's accepted images (float, 0..1) for training.
        eval: the same for evaluation during training (early stopping, thresholds).
        test: the same for the final test. Images beyond the three stay unused.
        split_order: "hashed": by seeded hashes of the content, so that no image moves when others come (see splits.py);
            "reference": by the numbers in the files' names and one shuffle, as the published implementation does (see
            reference_splits.py), for comparison with its numbers.
        real_factor: camera sources give this many times the images that integer sizes ask for, e.g. to balance one
            camera source against several generators.
        span: number of the dataset under the output directory; a scheduled pipeline reads the highest.
        seed: seed of the split, of the order of records, and of the perturbations.
        workers: processes. The dataset does not depend on it.
        max_image_bytes: larger files are rejected without being read.
        max_image_pixels: images of more pixels are rejected without being decoded.
        shard_size: images a file.
    """

    size: int = Field(default=128, ge=16, le=4096)
    crop: CropMode = "center"
    perturb: PerturbMode = "none"
    perturb_mode: PerturbVariant = "corrected"
    recompress: Recompression | None = None
    confound: ConfoundAction = "warn"
    confound_limit: float = Field(default=_CONFOUND_LIMIT, ge=0.5, le=1.0)
    max_loss: float = Field(default=_LOSS_LIMIT, ge=0.0, le=1.0)
    train: int | float = 0.6
    eval: int | float = 0.2
    test: int | float = 0.2
    split_order: SplitOrder = "hashed"
    real_factor: int = Field(default=1, ge=1)
    span: int = Field(default=1, ge=0)
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=2, ge=1, le=256)
    max_image_bytes: int = Field(default=MAX_IMAGE_BYTES, ge=1)
    max_image_pixels: Annotated[int, Field(ge=1, le=PILLOW_PIXEL_LIMIT)] = MAX_IMAGE_PIXELS
    shard_size: int = Field(default=2048, ge=1)

    @property
    def confound_parameters(self) -> ConfoundParameters:
        """Parameters of the confound check."""
        return ConfoundParameters(action=self.confound, limit=self.confound_limit)

    @field_validator("train", "eval", "test")
    @classmethod
    def _split_size(cls, value: int | float) -> int | float:
        if isinstance(value, float) and not 0 <= value <= 1:
            raise ValueError(f"a fraction must be in 0..1, got {value}. For a number of images write an integer")
        if value < 0:
            raise ValueError(f"must not be negative, got {value}")
        return value

    @field_validator("recompress")
    @classmethod
    def _quality(cls, value: Recompression | None) -> Recompression | None:
        if isinstance(value, int) and not 1 <= value <= _BEST_JPEG_QUALITY:
            raise ValueError(f"must be a JPEG quality of 1 to {_BEST_JPEG_QUALITY} or 'png'")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        fractions = [size for size in (self.train, self.eval, self.test) if isinstance(size, float)]
        if sum(fractions) > 1 + 1e-9:
            raise ValueError(
                f"train, eval, test: fractions must sum to at most 1, got {' + '.join(map(str, fractions))} = "
                f"{sum(fractions):g}. Lower one of them"
            )
        if not self.train:
            raise ValueError("train: must not be 0: there would be nothing to train on. Try 0.6")
        if fractions and (self.split_order == "reference" or self.real_factor > 1):
            option = "split_order 'reference'" if self.split_order == "reference" else f"real_factor {self.real_factor}"
            raise ValueError(
                f"train, eval, test: {option} needs numbers of images, got fractions {', '.join(map(str, fractions))}. "
                "Write whole numbers, e.g. 20000, 4000 and 6000"
            )
        if self.split_order == "reference" and self.seed > _LEGACY_SEED_LIMIT:
            raise ValueError(
                f"seed: must be at most {_LEGACY_SEED_LIMIT} for split_order 'reference' (NumPy's legacy generator "
                f"takes 32 bits), got {self.seed}. Lower it"
            )
        if self.crop == "celeba" and self.size != CELEBA_SIZE:
            raise ValueError(
                f"size: crop 'celeba' is defined for {CELEBA_SIZE} px only, got {self.size}. "
                f"Set size to {CELEBA_SIZE}, or crop to 'center'"
            )
        if self.perturb_mode == "reference" and self.perturb == "none":
            raise ValueError(
                "perturb_mode: 'reference' says how to perturb, but perturb is 'none'. Set perturb to blur, crop, "
                "jpeg, noise or multi, or leave perturb_mode out"
            )
        return self
