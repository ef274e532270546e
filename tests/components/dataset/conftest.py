from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.images import encode, noise

SIDE = 32


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Makes an image tree: {"real/real_a": 5} -> 5 PNG files of 32 px noise, different in every source."""

    def make(counts: dict[str, int], name: str = "images", side: int = SIDE) -> Path:
        root = tmp_path / name
        for directory, count in counts.items():
            (root / directory).mkdir(parents=True)
            for number in range(count):
                seed = int.from_bytes(f"{directory}/{number}".encode(), "big")
                (root / directory / f"{number:03d}.png").write_bytes(encode(noise(seed, side, side)))
        return root

    return make


@pytest.fixture
def small_tree(make_tree: Callable[..., Path]) -> Path:
    return make_tree({"real/real_a": 10, "fake/gan_a": 10, "fake/gan_b": 10})
