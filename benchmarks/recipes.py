"""Which recipe learns from a few dozen images a source: cross-validation of recipes and of their parts.

    python benchmarks/recipes.py IMAGES [--recipe NAME ...] [--folds 0 1 ...] [--heads] [--unknown] [--models DIR]

IMAGES is an image tree, as `genattr prepare` takes it. Each source's images are divided into five parts by the hash of
their bytes; every part is the test set once. Of the rest an eighth is the eval split, on which calibration is fitted,
and the rest is trained on. Every test image is scored as it is and saved anew as a JPEG, real and fake alike. One
recipe and fold after the other, on all cores; a row is printed as soon as its folds are done.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np

from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

if TYPE_CHECKING:
    import keras

    from components.features.parameters import InputParameters
    from components.features.transform import TransformFunction
    from components.metrics.open_set_turns import OpenSetTurn
    from components.training.examples import Split
    from pipeline.config.schema import PipelineConfig

FOLDS = 5
EVAL_SHARE = 8
COPIES = ("jpeg_95", "jpeg_85", "jpeg_75")
_SEED = 0

# Name of a row -> what is changed of the recipe `few_images`; of the paper's rows, of the recipe `paper`.
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
}


class Image(NamedTuple):
    """One image of the tree."""

    path: str
    source: str
    label: int
    encoded: bytes


class Fold(NamedTuple):
    """What one fold gave: arrays of the test images, by kind of copy, "" being the images as they are.

    Attributes:
        labels, sources: of the test images.
        fake: kind of copy -> probability of being synthesised.
        heads: source -> kind of copy -> probability of being of that source.
        seconds: CPU time of the primary module's training; of all heads'.
        turns: every source's turn as the unknown generator.
    """

    labels: np.ndarray
    sources: np.ndarray
    fake: dict[str, np.ndarray]
    heads: dict[str, dict[str, np.ndarray]]
    seconds: tuple[float, float]
    turns: Sequence["OpenSetTurn"]


def main(arguments: Sequence[str]) -> int:
    """Prints a row a recipe; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="image tree: real/<source>/, fake/<source>/")
    parser.add_argument("--recipe", nargs="+", choices=VARIANTS, default=["few_images"], metavar="NAME",
                        help=f"rows: {'; '.join(VARIANTS)}; default: few_images")  # fmt: skip
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=range(FOLDS), metavar="N",
                        help="some of the five folds; default: all")  # fmt: skip
    parser.add_argument("--heads", action="store_true", help="train a head for every fake source, too")
    parser.add_argument("--unknown", action="store_true", help="every fake source takes its turn as the unknown one")
    parser.add_argument("--models", type=Path, metavar="DIR",
                        help="keep primary modules here; those that are there are not trained")  # fmt: skip
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change every row's configuration")
    parser.add_argument("--json", action="store_true", help="print figures as JSON lines")
    options = parser.parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    tree = read_tree(options.images)
    if not options.json:
        print(_header())
    for name in options.recipe:
        config = configuration(name, options.set)
        folds = [run_fold(tree, number, config, name, options) for number in options.folds]
        figures = {"recipe": name, "folds": len(folds), **summarise(folds)}
        print(json.dumps(figures) if options.json else _row(figures), flush=True)
    return 0


def configuration(name: str, overrides: Sequence[str] = ()) -> "PipelineConfig":
    """Returns the configuration of a row."""
    from pipeline.config.schema import apply_override, validate_config

    values = {"recipe": "few_images", "name": "recipes", "data": {"dataset": "-"}, "output_root": "-", **VARIANTS[name]}
    for override in overrides:
        apply_override(values, override)
    return validate_config(values, name)


def read_tree(root: Path) -> list[Image]:
    """Reads an image tree, in the order of paths."""
    found = []
    for label, kind in enumerate(("real", "fake")):
        for path in sorted((root / kind).glob("*/*")):
            if path.is_file():
                found.append(Image(str(path.relative_to(root)), path.parent.name, label, path.read_bytes()))
    if not found:
        raise SystemExit(f"{root}: holds no image in real/<source>/ or fake/<source>/.")
    return found


def divide(images: Sequence[Image], fold: int) -> dict[str, list[Image]]:
    """Divides a tree into train, eval and test; each source by itself."""
    parts: dict[str, list[Image]] = {"train": [], "eval": [], "test": []}
    for source in sorted({image.source for image in images}):
        members = [image for image in images if image.source == source]
        members.sort(key=lambda image: hashlib.sha256(image.encoded).digest())
        rest = [image for number, image in enumerate(members) if number % FOLDS != fold]
        parts["test"] += members[fold::FOLDS]
        parts["eval"] += rest[::EVAL_SHARE]
        parts["train"] += [image for number, image in enumerate(rest) if number % EVAL_SHARE]
    return parts


def run_fold(
    images: Sequence[Image], fold: int, config: "PipelineConfig", name: str, options: argparse.Namespace
) -> Fold:
    """Trains on one fold, and scores its test images and their copies."""
    from components.leave_one_out.turns import leave_one_out
    from components.training.learners import process_learners
    from components.training.middle_features import extract_middle_features, repeated
    from components.training.modules import train_head
    from components.training.training import Training

    parts = divide(images, fold)
    splits = {name: _split(name, members) for name, members in parts.items()}
    for kind in COPIES:
        splits[kind] = _split(kind, [_copy(image, kind) for image in parts["test"]])
    transform = _transform(splits["train"], config.input)
    kinds = {"": "test", **{kind: kind for kind in COPIES}}
    started = time.process_time()
    kept = options.models / f"{name.replace(' ', '_')}.{fold}.keras" if options.models else None
    primary, fake = _primary(splits, transform, config, kept)
    seconds, started = time.process_time() - started, time.process_time()
    heads, turns = {}, []
    sources = sorted({image.source for image in images if image.label})
    if options.heads or options.unknown:
        training = Training(splits, config.input, config.secondary, learners=process_learners())
        features = extract_middle_features(primary, training, transform)
        training = repeated(training)
        for source in sources if options.heads else ():
            head = train_head(training, source, features, config.attribution_level)
            heads[source] = {kind: head.scores[split].scores for kind, split in kinds.items()}
        seconds_of_heads = time.process_time() - started
        if options.unknown:
            turns = leave_one_out(training, sources, features, "test").turns
    return Fold(
        splits["test"].labels,
        splits["test"].sources,
        {kind: fake[split] for kind, split in kinds.items()},
        heads,
        (seconds, seconds_of_heads if heads else 0.0),
        turns,
    )


def _primary(
    splits: Mapping[str, "Split"], transform: "TransformFunction", config: "PipelineConfig", kept: Path | None
) -> tuple["keras.Model", dict[str, np.ndarray]]:
    """Trains a primary module, or takes the one that was kept; returns it with its scores of all splits but train."""
    import keras

    from components.training.inputs import DecodedInputs
    from components.training.learners import Learner
    from components.training.modules import train_primary
    from components.training.training import Training

    if kept and kept.exists():
        model = keras.models.load_model(kept, compile=False, safe_mode=True)
        learner = Learner(model, config.primary)
        return model, {
            name: learner.scores(DecodedInputs(split, transform, config.input.representation))
            for name, split in splits.items()
            if name != "train"
        }
    trained = train_primary(Training(splits, config.input, config.primary), transform)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        trained.model.save(kept)
    return trained.model, {name: found.scores for name, found in trained.scores.items()}


def summarise(folds: Sequence[Fold]) -> dict[str, Any]:
    """Returns the figures of a recipe: ROC-AUC as means over folds, all else over the images of all folds together."""
    from components.metrics import scores as metrics
    from components.metrics.open_set_turns import turn_figures

    labels = np.concatenate([fold.labels for fold in folds])
    fake = np.concatenate([fold.fake[""] for fold in folds])
    figures: dict[str, Any] = {
        "roc_auc": {
            kind or "plain": float(np.mean([metrics.roc_auc(fold.labels, fold.fake[kind]) for fold in folds]))
            for kind in ("", *COPIES)
        },
        "roc_auc_by_fold": [metrics.roc_auc(fold.labels, fold.fake[""]) for fold in folds],
        "tpr_at_5_fpr": metrics.tpr_at_fpr(labels, fake, 0.05),
        "ece": metrics.expected_calibration_error(labels, fake),
        "heads": {
            source: {
                kind or "plain": float(
                    np.mean([metrics.roc_auc(fold.sources == source, fold.heads[source][kind]) for fold in folds])
                )
                for kind in ("", *COPIES)
            }
            for source in folds[0].heads
        },
        "unknown_recall": {
            score: turn_figures([turn for fold in folds for turn in fold.turns], score).recall
            for score in (folds[0].turns[0].scores if folds[0].turns else ())
        },
        "cpu_seconds": {"primary": folds[-1].seconds[0], "heads": folds[-1].seconds[1]},
    }
    return figures


def _copy(image: Image, kind: str) -> Image:
    from components.dataset.images import decode_image
    from components.dataset.perturbed_copies import perturbed
    from serving.contract import MAX_IMAGE_PIXELS

    pixels = decode_image(image.encoded, MAX_IMAGE_PIXELS).pixels
    return image._replace(encoded=perturbed(pixels, kind, image.path, _SEED))


def _split(name: str, images: Sequence[Image]) -> "Split":
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


def _transform(train: "Split", inputs: "InputParameters") -> "TransformFunction":
    """Returns what Transform would export: for spectra, with mean and variance over the train split."""
    import tensorflow as tf

    from components.features import dct, image, preprocessing

    def windows(encoded: tf.Tensor) -> tf.Tensor:
        return image.decode_windows(encoded, inputs.size)

    if inputs.pooled:
        return lambda encoded: {
            inputs.representation: preprocessing.features_without_statistics(
                windows(encoded), inputs.representation, inputs.colour
            )
        }
    encoded = train.images.take(np.arange(train.count)) if train.images else []
    spectra = np.concatenate(
        [
            dct.log_spectrum(image.channels(windows(tf.constant(encoded[start : start + 32])), inputs.colour)).numpy()
            for start in range(0, len(encoded), 32)
        ]
    )
    mean, variance = tf.constant(spectra.mean(axis=0)), tf.constant(spectra.var(axis=0))
    return lambda encoded: {
        inputs.representation: dct.normalise(
            dct.log_spectrum(image.channels(windows(encoded), inputs.colour)), mean, variance
        )
    }


def _header() -> str:
    columns = ["recipe", "folds", "ROC-AUC", *(kind.replace("_", " ") for kind in COPIES), "TPR at 5% FPR", "ECE"]
    columns += ["heads", *(f"heads, {kind.replace('_', ' ')}" for kind in COPIES), "unknown recall", "CPU-s a fold"]
    return "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def _row(figures: Mapping[str, Any]) -> str:
    heads = figures["heads"].values()
    cells = [figures["recipe"], str(figures["folds"])]
    cells += [f"{figures['roc_auc'][kind]:.3f}" for kind in ("plain", *COPIES)]
    cells += [f"{figures['tpr_at_5_fpr']:.2f}", f"{figures['ece']:.3f}"]
    cells += [f"{np.mean([one[kind] for one in heads]):.3f}" if heads else "" for kind in ("plain", *COPIES)]
    cells += [", ".join(f"{score} {recall:.2f}" for score, recall in figures["unknown_recall"].items())]
    return "| " + " | ".join([*cells, f"{sum(figures['cpu_seconds'].values()):.0f}"]) + " |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
