"""Which image goes where, exactly as the published implementation divides and shuffles, to compare with its numbers.

Within a source, images stand in the order of the numbers in their names: the first go to train, the next to eval, the
next to test. Sources are strung together, generators before cameras, each in order of their names, and each split is
shuffled by NumPy's legacy generator, one after the other from a single seed. So every image's place depends on all the
others: adding a source moves everything. For datasets that grow, use splits.assign_splits.

Only usable images are counted: where a file is rejected, or repeats another, the ones after it move up, whereas the
published program takes every file as it is.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777), published code.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from components.dataset.images import CheckedImage
from components.dataset.parameters import PreparationParameters
from components.dataset.splits import SPLITS, TRAINED_SPLITS, require_both_classes, split_sizes
from serving.contract import FAKE_LABEL

_NUMBER = re.compile(r"[0-9]+")


def image_number(path: str) -> int | None:
    """Returns the number in a file's name: its first part between underscores that has digits only; None without one.

    Example:
        >>> image_number("fake/progan_celeba/sample_000123_x.png")
        123
    """
    parts = PurePosixPath(path).stem.split("_")
    return next((int(part) for part in parts if _NUMBER.fullmatch(part)), None)


def assign_reference_splits(
    images: Sequence[CheckedImage], parameters: PreparationParameters
) -> dict[str, list[CheckedImage]]:
    """Divides images into the splits.

    Args:
        images: without duplicates.
        parameters: sizes (integers) and seed.

    Returns:
        Images keyed by "train", "eval", "test", "testonly" and "unused" (those beyond the sizes asked for), each split
        in its published order. Of a test-only source the first `test` images are taken, or as many as there are.

    Raises:
        ValueError: if a file's name holds no number, a source has fewer images than the sizes ask for, or a class has
            none to train on.
    """
    by_source: dict[tuple[bool, str], list[CheckedImage]] = defaultdict(list)
    for image in images:
        by_source[image.source.label != FAKE_LABEL, image.source.name].append(image)
    splits: dict[str, list[CheckedImage]] = {name: [] for name in (*SPLITS, "unused")}
    for _, members in sorted(by_source.items()):
        source = members[0].source
        ordered = sorted(members, key=_place)
        if source.testonly:
            sizes = {"testonly": min(int(parameters.test), len(ordered))}
        else:
            sizes = dict(zip(TRAINED_SPLITS, split_sizes(len(ordered), parameters, source), strict=True))
        start = 0
        for name, count in sizes.items():
            splits[name] += ordered[start : start + count]
            start += count
        splits["unused"] += ordered[start:]
    require_both_classes(splits["train"], parameters.size)
    # One stream for all four, in this order. Shuffling indices draws as much from it as shuffling rows.
    random = np.random.RandomState(parameters.seed)
    for name in SPLITS:
        order = np.arange(len(splits[name]))
        random.shuffle(order)
        splits[name] = [splits[name][index] for index in order]
    return splits


def _place(image: CheckedImage) -> tuple[int, tuple[str, ...]]:
    """Returns what an image is sorted by within its source: the number in its name, then its path, part by part."""
    number = image_number(image.path)
    if number is None:
        raise ValueError(
            f"{image.path}: split order 'reference' goes by the number in a file's name, e.g. 000123.png or "
            "face_000123.png, and this one has none. Rename the file, or choose split order 'hashed'."
        )
    return number, PurePosixPath(image.path).parts
