"""Which image goes where: duplicates out, then train, eval and test, by hash.

The order in which a source is split is the order of its images' seeded content hashes. So it neither depends on file
names nor on other sources: adding a source, or images to one, moves no image of another. (One exception cannot be
avoided: if the added images have the pixels of images that stand there, one of each pair has to go.)
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from components.dataset.images import CheckedImage
from components.dataset.parameters import PreparationParameters
from components.dataset.seeds import key_of
from components.dataset.tree import Reason, Rejection, Source
from serving.contract import REAL_LABEL

TRAINED_SPLITS = ("train", "eval", "test")
SPLITS = (*TRAINED_SPLITS, "testonly")


def drop_duplicates(
    images: Iterable[CheckedImage],
) -> tuple[list[CheckedImage], list[tuple[CheckedImage, CheckedImage]], list[Rejection]]:
    """Keeps one image of each content.

    Of images with the same pixels and label the first by path stays, one of a trained source before one of a test-only
    source (else what is tested could depend on what is trained). If the same pixels are called real and fake, nobody
    can say which is right: all of them are rejected.

    Args:
        images: with content hashes, in any order.

    Returns:
        The images kept, in order of their paths; pairs (duplicate, the image it repeats); rejections.
    """
    groups: dict[str, list[CheckedImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: (image.source.testonly, image.path)):
        groups[image.content_sha256].append(image)
    kept, duplicates, conflicts = [], [], []
    for group in groups.values():
        first = group[0]
        opposite = {image.source.label: image for image in reversed(group)}
        if len(opposite) > 1:
            conflicts += [
                Rejection(
                    image.path,
                    Reason.LABEL_CONFLICT,
                    f"has the same pixels as {opposite[1 - image.source.label].path}, of the other class: remove one",
                    image.source,
                )
                for image in group
            ]
        else:
            kept.append(first)
            duplicates += [(image, first) for image in group[1:]]
    return sorted(kept, key=lambda image: image.path), duplicates, conflicts


def assign_splits(images: Sequence[CheckedImage], parameters: PreparationParameters) -> dict[str, list[CheckedImage]]:
    """Divides images into the splits.

    Args:
        images: without duplicates.
        parameters: sizes and seed.

    Returns:
        Images keyed by "train", "eval", "test", "testonly" and "unused" (those beyond the sizes asked for). Within each
        split the order is shuffled: sources and classes are mixed.

    Raises:
        ValueError: if a source has fewer images than the sizes ask for, or a class has none to train on.
    """
    by_source: dict[str, list[CheckedImage]] = defaultdict(list)
    for image in images:
        by_source[image.source.directory].append(image)
    splits: dict[str, list[CheckedImage]] = {name: [] for name in (*SPLITS, "unused")}
    for members in by_source.values():
        if members[0].source.testonly:
            splits["testonly"] += members
            continue
        ordered = sorted(members, key=lambda image: key_of("split", parameters.seed, image.content_sha256))
        start = 0
        for name, count in zip(TRAINED_SPLITS, split_sizes(len(members), parameters, members[0].source), strict=True):
            splits[name] += ordered[start : start + count]
            start += count
        splits["unused"] += ordered[start:]
    require_both_classes(splits["train"], parameters.size)
    return {
        name: sorted(members, key=lambda image: key_of("order", parameters.seed, image.content_sha256))
        for name, members in splits.items()
    }


def require_both_classes(train: Iterable[CheckedImage], size: int) -> None:
    """Raises ValueError if there is nothing real, or nothing fake, to train on.

    Args:
        train: images of the train split.
        size: of the images in pixels, for the error.
    """
    present = {image.source.label for image in train}
    for label, name in enumerate(("real", "fake")):
        if label not in present:
            raise ValueError(
                f"{name}: has no usable image to train on. A detector needs both classes: put images of at least "
                f"{size} x {size} px in {name}/<source>/."
            )


def split_sizes(available: int, parameters: PreparationParameters, source: Source) -> tuple[int, int, int]:
    """Returns how many of a source's images go to train, eval and test.

    Integers are taken as they are, times `real_factor` for a camera source. Fractions of the images available are
    rounded as running totals, so that fractions that sum to 1 leave no image over.

    Args:
        available: accepted images of the source.
        parameters: sizes.
        source: whose images they are.

    Raises:
        ValueError: if the source has fewer images.

    Example:
        >>> gan = Source("gan_a", "fake/gan_a", label=1, testonly=False)
        >>> split_sizes(5, PreparationParameters(train=0.6, eval=0.2, test=0.2), gan)
        (3, 1, 1)
    """
    wanted = (parameters.train, parameters.eval, parameters.test)
    factor = parameters.real_factor if source.label == REAL_LABEL else 1
    sizes: list[int] = []
    fraction, rounded = 0.0, 0
    for size in wanted:
        if isinstance(size, int):
            sizes.append(size * factor)
        else:
            fraction += size
            total = min(available, math.floor(available * fraction + 0.5 + 1e-9))
            sizes.append(total - rounded)
            rounded = total
    if sum(sizes) > available:
        raise ValueError(
            f"source '{source.name}': train, eval and test ask for {' + '.join(map(str, sizes))} = {sum(sizes):,} "
            f"images, {available:,} are usable. Lower them, add images, or remove the source."
        )
    return sizes[0], sizes[1], sizes[2]
