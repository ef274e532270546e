"""Cross-validation of recipes and of their parts.

    python benchmarks/recipes.py IMAGES [--recipe NAME ...] [--folds 0 1 ...] [--heads] [--unknown]
                                        [--unseen SOURCE ...] [--seconds N]

IMAGES is an image tree, as `genattr prepare` takes it. Each source's images are divided into five parts by the hash of
their bytes; every part is the test set once. Of the rest an eighth is the eval split, on which calibration is fitted,
and the rest is trained on. Every test image is scored as it is and as copies that were saved again or resized, real and
fake alike. One recipe and fold after the other, on all cores; a row is printed as soon as its folds are done.

Each finished piece, a primary module or a head of a fold, is a line in --results and is not measured again for the same
images and the same configuration; a training that was killed continues at its last epoch (--models). Remove the lines
after a change of the code.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.recipe_data import FOLDS, Image, divide, read_tree, tree_digest
from benchmarks.recipe_results import HEAD, PRIMARY, TURNS, Results, header, summarise, table_row
from benchmarks.recipe_rows import VARIANTS, configuration, copies_of
from benchmarks.recipe_training import FoldTraining
from benchmarks.recipe_unseen import UnseenTraining, measure_unseen
from pipeline.startup import import_tensorflow, quiet_libraries, settle_environment

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig


def main(arguments: Sequence[str]) -> int:
    """Prints a row a recipe; returns 0."""
    options = _parser().parse_args(arguments)
    settle_environment()
    quiet_libraries(verbose=False)
    import_tensorflow(verbose=False)
    images = read_tree(options.images)
    digest, kinds = tree_digest(images), None
    for name in options.recipe:
        config = configuration(name, options.set)
        if not options.json and copies_of(config) != kinds:
            print(header(copies_of(config)))
        kinds = copies_of(config)
        identity = _identity(digest, config, options.seconds)
        results = Results(options.results, name, identity)
        folds = [run_fold(images, number, name, config, results, options) for number in options.folds]
        figures = {"recipe": name, "folds": len(folds), **summarise(folds)}
        print(json.dumps(figures) if options.json else table_row(figures, kinds), flush=True)
        if options.unseen and not options.json:
            print(json.dumps(figures["unseen"]), flush=True)
    return 0


def run_fold(
    images: Sequence[Image],
    fold: int,
    name: str,
    config: "PipelineConfig",
    results: Results,
    options: argparse.Namespace,
) -> dict[str, dict[str, Any]]:
    """Return the figures of one fold by piece; what the results hold is not measured again."""
    parts, kinds = divide(images, fold), copies_of(config)
    slug = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    directory = options.models / f"{slug}-{results.identity}" / f"fold-{fold}"
    training = FoldTraining(parts, config, kinds, directory, options.seconds)
    pieces = {PRIMARY: results.get(fold, PRIMARY, training.primary_figures)}
    sources = sorted({image.source for image in images if image.label})
    for source in sources if options.heads else ():
        piece = f"{HEAD}:{source}"
        pieces[piece] = results.get(fold, piece, lambda source=source: training.head_figures(source))
    if options.unknown:
        pieces[TURNS] = results.get(fold, TURNS, lambda: training.turns(sources))
    for source in options.unseen:
        if source not in sources:
            raise SystemExit(f"--unseen: '{source}' is no fake source. Sources there: {', '.join(sources)}.")
        unseen = UnseenTraining(source, parts, config, kinds, directory / f"without-{source}", options.seconds)
        pieces |= measure_unseen(unseen, results, fold)
    return pieces


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="image tree: real/<source>/, fake/<source>/")
    parser.add_argument("--recipe", nargs="+", choices=VARIANTS, default=["few_images"], metavar="NAME",
                        help=f"rows: {'; '.join(VARIANTS)}; default: few_images")  # fmt: skip
    parser.add_argument("--folds", nargs="+", type=int, choices=range(FOLDS), default=range(FOLDS), metavar="N",
                        help="some of the five folds; default: all")  # fmt: skip
    parser.add_argument("--heads", action="store_true", help="train a head for every fake source, too")
    parser.add_argument("--unknown", action="store_true", help="every fake source takes its turn as the unknown one")
    parser.add_argument("--unseen", nargs="+", default=[], metavar="SOURCE",
                        help="leave a source out of the primary module and of all heads: unknown recall, and heads for "
                             "it from few images")  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="N",
                        help="CPU time of a primary module's training in place of its epochs: rows at equal "
                             "cost")  # fmt: skip
    parser.add_argument("--models", type=Path, default=ROOT / "runs" / "recipes", metavar="DIR",
                        help="primary modules and states of trainings; those that are there are not trained; "
                             "default: runs/recipes")  # fmt: skip
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results" / "recipes", metavar="DIR",
                        help="figures as JSON lines; default: benchmarks/results/recipes")  # fmt: skip
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change every row's configuration")
    parser.add_argument("--json", action="store_true", help="print figures as JSON lines")
    return parser


def _identity(digest: str, config: "PipelineConfig", seconds: float | None) -> str:
    """Return a digest of everything that decides figures, but for the code: 12 hexadecimal digits."""
    decisive = config.model_dump_json(include={"input", "primary", "secondary", "attribution_level"})
    return hashlib.sha256(f"{digest} {seconds} {decisive}".encode()).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
