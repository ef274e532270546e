"""Rows of benchmarks/recipes.py: recipes and what is changed of them, part by part."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig

WEB = "web"
# Kinds of copies that every test image is judged as, beside the image as it is.
_COPIES = ("jpeg_95", "jpeg_85", "jpeg_75")
_WEB_COPIES = ("jpeg_85", "jpeg_75", "jpeg_50", "resize_0.75")

_NO_GRID = {"augmentation": {"grid": 0.0}}

# Name of a row -> what is changed of the recipe `few_images`, or of the recipe that the row names.
VARIANTS: dict[str, dict[str, Any]] = {
    "few_images": {},
    "without JPEG": {"primary": {"augmentation": {"jpeg": 0.0}}, "secondary": {"augmentation": {"jpeg": 0.0}}},
    "central windows, not mirrored": {"primary": {"augmentation": {"crop": "centre", "flip": False}}},
    "paper's network": {"primary": {"layers": {"network": "paper"}}},
    "pixels": {"input": {"representation": "pixel"}},
    "constant learning rate, best epoch": {
        "primary": {"schedule": "constant", "learning_rate": 1e-3, "monitor": "roc_auc", "early_stopping": 10}
    },
    "shuffled batches": {"primary": {"sampling": "shuffled"}},
    "twice the steps": {"primary": {"epochs": 20}},
    "paper, pixel": {"recipe": "paper", "input": {"representation": "pixel", "size": 128}},
    "paper, dct": {"recipe": "paper", "input": {"representation": "dct", "size": 128}},
    "web": {"recipe": WEB},
    "web without auxiliary": {"recipe": WEB, "primary": {"auxiliary": None}},
    "web without grid": {"recipe": WEB, "primary": _NO_GRID, "secondary": _NO_GRID},
    "web, wide on residuals": {
        "recipe": WEB,
        "input": {"representation": "residual"},
        "primary": {"layers": {"network": "wide"}},
    },
    "web, sources equally often": {"recipe": WEB, "primary": {"sampling_power": 0.0}},
    "web, calibrated on images alone": {
        "recipe": WEB,
        "primary": {"calibration_copies": 0},
        "secondary": {"calibration_copies": 0},
    },
}


def configuration(name: str, overrides: Sequence[str] = ()) -> "PipelineConfig":
    """Return the configuration of a row.

    Args:
        name: Key of `VARIANTS`.
        overrides: "dotted.key=value" each.
    """
    from pipeline.config.schema import apply_override, validate_config

    values = {"recipe": "few_images", "name": "recipes", "data": {"dataset": "-"}, "output_root": "-", **VARIANTS[name]}
    for override in overrides:
        apply_override(values, override)
    return validate_config(values, name)


def copies_of(config: "PipelineConfig") -> tuple[str, ...]:
    """Return the kinds of copies that a row is judged on."""
    return _WEB_COPIES if config.recipe == WEB else _COPIES
