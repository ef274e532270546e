"""Answers of a model that comes with the product, on images that every machine makes alike."""

import tempfile
from pathlib import Path
from typing import Any

from components.sample.tree import write_sample_tree
from serving.client import open_predictor
from serving.client.predict import predict_files

ANSWERS_FILE = "answers.json"  # beside the versions of the model

SIZE = 256  # of the images in pixels
PER_SOURCE = 2


def sample_answers(servable: Path) -> dict[str, dict[str, Any]]:
    """Ask a servable about images of the demonstration.

    Args:
        servable: Version directory, or the directory of the versions.

    Returns:
        Path of the image in its tree -> {"verdict", "fake_probability", "source_probabilities"}; where the servable
        refuses it, {"error"}.
    """
    with tempfile.TemporaryDirectory(prefix="sample-") as directory:
        tree = Path(directory) / "images"
        write_sample_tree(tree, per_source=PER_SOURCE, size=SIZE, workers=1)
        paths = sorted(tree.glob("*/*/*.png"))
        with open_predictor(model=servable) as predictor:
            rows = [row.to_json() for row in predict_files(predictor, paths)]
    answers = {}
    for path, row in zip(paths, rows, strict=True):
        wanted = ("error",) if "error" in row else ("verdict", "fake_probability", "source_probabilities")
        answers[path.relative_to(tree).as_posix()] = {name: row[name] for name in wanted}
    return answers
