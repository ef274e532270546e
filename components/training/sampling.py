"""Which images an epoch trains on, in which order, and what each weighs.

Everything is a function of (seed, epoch), never of what was drawn before: a training that is taken up again draws in
epoch n what it would have drawn without the interruption.
"""

import math

import numpy as np

_UNIT = 8  # images


def epoch_order(
    targets: np.ndarray,
    sampling: str,
    seed: int,
    epoch: int,
    sources: np.ndarray | None = None,
    power: float = 0.0,
) -> np.ndarray:
    """Returns the order of one epoch.

    Args:
        targets: int (count,), the class of each image.
        sampling: "shuffled", every image once; "balanced", every class equally often, within one image: images of
            larger classes are left out by turns of the draw, those of smaller classes come again; "sources", the same,
            and within each class every source as often as `power` says. Of the latter two, classes and sources take
            turns, so that every batch holds them evenly: batch normalisation sees the same mixture in each.
        seed: of the training.
        epoch: from 0.
        sources: (count,), the source of each image; used by "sources" alone.
        power: of "sources": a source comes in proportion to this power of its number of images; 0, all equally often.

    Returns:
        int64 (count,): indices of images.

    Raises:
        ValueError: if "sources" is asked for without them.
    """
    draw = np.random.default_rng((seed, epoch))
    if sampling == "shuffled":
        return draw.permutation(len(targets))
    if sampling == "sources" and sources is None:
        raise ValueError("sampling: must not be 'sources' where the sources of images are not known. Take 'balanced'.")
    members = [np.flatnonzero(targets == value) for value in np.unique(targets)]
    orders = []
    for of_class, count in zip(members, _even_shares(len(targets), len(members), draw), strict=True):
        groups = [of_class] if sampling == "balanced" or sources is None else _by_value(of_class, sources[of_class])
        shares = _shares(count, [len(group) for group in groups], power, draw)
        orders.append(
            _interleaved([_draw_evenly(group, share, draw) for group, share in zip(groups, shares, strict=True)])
        )
    return _interleaved(orders)


def even_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Cuts an order into as few batches as hold it, none larger than `size`, of about even sizes.

    A last batch of a few images would take a step as long as any other, and move the statistics of batch normalisation
    as far. Sizes are multiples of up to 8, but for the last one: devices that train together then take equal shares.
    """
    unit, count = math.gcd(size, _UNIT), -(-len(order) // size)
    units = np.full(count, len(order) // unit // count)
    units[: len(order) // unit % count] += 1
    return np.split(order, np.cumsum(units * unit)[:-1])


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


def _interleaved(lists: list[np.ndarray]) -> np.ndarray:
    """Spreads each list evenly over the whole: any stretch holds the lists in the shares of their lengths."""
    places = np.concatenate([(np.arange(len(one)) + 0.5) / len(one) for one in lists])
    return np.concatenate(lists)[np.argsort(places, kind="stable")]


def _even_shares(count: int, parts: int, draw: np.random.Generator) -> list[int]:
    """Divides a count; which parts get one more than others is drawn, so that none does so in every epoch."""
    extra = set(draw.permutation(parts)[: count % parts].tolist())
    return [count // parts + (number in extra) for number in range(parts)]


def _shares(count: int, sizes: list[int], power: float, draw: np.random.Generator) -> list[int]:
    """Divide a count in proportion to a power of sizes; rounding is drawn, so that no source loses by it every time."""
    if power == 0.0:
        return _even_shares(count, len(sizes), draw)
    weights = np.array(sizes, np.float64) ** power
    exact = count * weights / weights.sum()
    # The cumulative sum is rounded down from a random start: a share is the integer below or above its exact value, and
    # that value on average.
    ends = np.floor(np.cumsum(exact) + draw.random()).astype(np.int64)
    ends[-1] = count
    return np.diff(np.concatenate([[0], ends])).tolist()


def _by_value(members: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    return [members[values == value] for value in np.unique(values)]


def _draw_evenly(members: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """Draws `count` of the members, none twice before every other came as often."""
    if not count:
        return members[:0]
    rounds = -(-count // len(members))
    return np.concatenate([draw.permutation(members) for _ in range(rounds)])[:count]
