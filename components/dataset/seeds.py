"""Random streams that depend on what they are for, never on when or where they are drawn.

Every image, weight set and ordering has a stream of its own, seeded by the SHA-256 of its name. So results are the same
for any number of workers and any order of work, and adding one image or one source changes nothing else.
"""

import hashlib

import numpy as np


def key_of(*parts: str | int) -> bytes:
    """Returns the 32-byte SHA-256 of the parts; ("a", "bc") and ("ab", "c") differ.

    Example:
        >>> key_of(0, "real/real_ffhq/000123.png").hex()[:8]
        'e6ef8bde'
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = str(part).encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.digest()


def stream(*parts: str | int) -> np.random.Generator:
    """Returns the random generator (PCG64) that belongs to these parts."""
    return np.random.default_rng(int.from_bytes(key_of(*parts), "big"))
