"""A dataset of a few 32 px images, prepared as everybody's are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.support.images import REAL, SIZE, encode, source_image


def prepare_small(root: Path, spans: Mapping[int, Sequence[str]]) -> Path:
    """Prepares spans of six images a source below `<root>/dataset`, and returns it.

    Args:
        root: also holds the images.
        spans: number -> sources.
    """
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    for span, sources in spans.items():
        rng = np.random.default_rng(span)
        for source in sources:
            folder = root / f"images-{span}" / ("real" if source == REAL else "fake") / source
            folder.mkdir(parents=True)
            for number in range(6):
                (folder / f"{number}.png").write_bytes(encode(source_image(source, rng)[:SIZE, :SIZE]))
        prepare(root / f"images-{span}", root / "dataset", PreparationParameters(size=SIZE, span=span, workers=1))
    return root / "dataset"
