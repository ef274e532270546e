"""Named recipes: settings of input and training that belong together. What a configuration gives itself wins.

paper       the published training of Khoo, Lim & Phan 2022 (arXiv 2203.09777): their network and initial weights,
            constant learning rate, patience of five epochs, no class weights, threshold 0.5. The representation,
            pixel or dct, and the size are the configuration's.
few_images  for tens to hundreds of images a source: residuals, the wide network, windows that are cut, mirrored and
            saved anew as JPEG on the fly, a learning rate that falls to zero. docs/recipes.md has the comparison.
web         for thousands of images a source that have been on the web: pixels, the network that reads the blocks of
            JPEGs, windows as web sites leave them, an auxiliary task that keeps generators apart, and calibration on
            copies. One training of the primary module sees 120 times as many windows as there are training images:
            about 40 CPU-minutes for 3,100 images, at 157 windows of 192 px per CPU-second (bfloat16).
"""

from collections.abc import Mapping
from typing import Any, Literal

RecipeName = Literal["paper", "few_images", "web"]

_PAPER_TRAINING = {
    "epochs": 100,
    "early_stopping": 5,
    "monitor": "loss",
    "batch_size": 64,
    "learning_rate": 1e-3,
    "class_weights": "none",
    "layers": {"network": "paper", "initialization": "paper", "batch_norm_momentum": 0.99},
    "calibration": "none",
    "operating_point": {"rule": "fixed", "threshold": 0.5},
}
_WINDOWS = {"window": 128, "crop": "random", "flip": True, "jpeg": 0.6, "jpeg_range": [60, 100]}
_AS_ON_THE_WEB = {
    "window": 192,
    "crop": "random",
    "grid": 0.75,
    "flip": True,
    "untouched": 0.27,
    "resize": 0.6,
    "resize_range": [0.5, 1.5],
    "blur": 0.12,
    "blur_range": [0.3, 1.1],
    "noise": 0.12,
    "noise_range": [0.5, 4.0],
    "jpeg": 0.86,
    "jpeg_range": [40, 100],
    "full_colour": 0.3,
    "again": 0.15,
    "webp": 0.07,
}

RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"primary": _PAPER_TRAINING, "secondary": _PAPER_TRAINING},
    "few_images": {
        "input": {"representation": "residual", "size": 256},
        "primary": {
            "epochs": 10,
            "passes": 20,
            "monitor": "last",
            "batch_size": 32,
            "learning_rate": 3e-3,
            "schedule": "cosine",
            "sampling": "sources",
            "augmentation": _WINDOWS,
            "layers": {"network": "wide", "initialization": "he", "batch_norm_momentum": 0.9},
        },
        "secondary": {
            "epochs": 4,
            "passes": 2,
            "monitor": "last",
            "batch_size": 64,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "sampling": "sources",
            "augmentation": _WINDOWS,
            "copies": 16,
            "layers": {"initialization": "he", "batch_norm_momentum": 0.9},
        },
    },
    "web": {
        "input": {"representation": "pixel", "colour": "rgb", "size": 256, "views": 9},
        "primary": {
            "epochs": 12,
            "passes": 10,
            "monitor": "last",
            "batch_size": 32,
            "learning_rate": 3e-3,
            "schedule": "cosine",
            "weight_decay": 0.05,
            "gradient_norm": 3.0,
            "label_smoothing": 0.02,
            "sampling": "sources",
            "sampling_power": 0.5,
            "auxiliary": {"weight": 0.3, "kind": "softmax"},
            "augmentation": _AS_ON_THE_WEB,
            "calibration_copies": 4,
            "layers": {"network": "blocks", "initialization": "he", "batch_norm_momentum": 0.99},
        },
        "secondary": {
            "epochs": 2,
            "passes": 1,
            "monitor": "last",
            "batch_size": 64,
            "learning_rate": 2e-3,
            "schedule": "cosine",
            "sampling": "sources",
            "augmentation": _AS_ON_THE_WEB,
            "copies": 12,
            "calibration_copies": 4,
            "operating_point": {"rule": "target_fpr", "target_fpr": 0.01},
            "layers": {"initialization": "he", "batch_norm_momentum": 0.9},
        },
    },
}


def with_recipe(values: Mapping[str, Any], recipe: str) -> dict[str, Any]:
    """Fills what a configuration leaves open with a recipe's settings.

    Args:
        values: the configuration as it was given.
        recipe: a key of `RECIPES`.

    Returns:
        A copy; mappings are filled key by key, all else that is given stays as it is.
    """
    return _filled(values, RECIPES[recipe])


def _filled(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(given)
    for key, default in defaults.items():
        value = filled.get(key)
        if value is None and key not in filled:
            filled[key] = _filled({}, default) if isinstance(default, Mapping) else default
        elif isinstance(value, Mapping) and isinstance(default, Mapping):
            filled[key] = _filled(value, default)
    return filled
