"""Which images an epoch trains on, in which order, and what each weighs.

Everything is a function of (seed, epoch), never of what was drawn before: a training that is taken up again draws in
epoch n what it would have drawn without the interruption.
"""

import numpy as np


def epoch_order(targets: np.ndarray, sampling: str, seed: int, epoch: int) -> np.ndarray:
    """Returns the order of one epoch.

    Args:
        targets: int (count,), the class of each image.
        sampling: "shuffled", every image once; "balanced", every class equally often, within one image: images of
            larger classes are left out by turns of the draw, those of smaller classes come again.
        seed: of the training.
        epoch: from 0.

    Returns:
        int64 (count,): indices of images.
    """
    draw = np.random.default_rng((seed, epoch))
    if sampling == "shuffled":
        return draw.permutation(len(targets))
    classes = np.unique(targets)
    # Which classes get one image more than others is drawn too: no class does so in every epoch.
    extra = set(draw.permutation(len(classes))[: len(targets) % len(classes)].tolist())
    chosen = [
        _draw_evenly(np.flatnonzero(targets == value), len(targets) // len(classes) + (number in extra), draw)
        for number, value in enumerate(classes)
    ]
    return draw.permutation(np.concatenate(chosen))


def class_weights(targets: np.ndarray, rule: str) -> np.ndarray:
    """Returns the weight of each image in the loss.

    Args:
        targets: int or float (count,), the class of each image.
        rule: "balanced" gives every class that is there the same share of the total weight, which stays `count`;
            "none" weighs all alike.

    Returns:
        float32 (count,), mean 1.
    """
    if rule == "none":
        return np.ones(len(targets), np.float32)
    _, numbers, counts = np.unique(targets, return_inverse=True, return_counts=True)
    return (len(targets) / (len(counts) * counts))[numbers].astype(np.float32)


def _draw_evenly(members: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """Draws `count` of the members, none twice before every other came as often."""
    rounds = -(-count // len(members))
    return np.concatenate([draw.permutation(members) for _ in range(rounds)])[:count]
