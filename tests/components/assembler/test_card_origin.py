"""Cards of servables whose primary module comes from a given one."""

import pytest

from components.assembler.card_origin import with_origin

CARD = {"data": [{"span": 1, "models": ["primary", "gan_a", "gan_b"]}], "known_limits": ["Few images."]}
ORIGIN = {"model": "faces", "version": 7, "trained_on": None, "taken": True}


@pytest.mark.parametrize(
    ("taken", "heads", "trained", "limit"),
    [
        (True, ("gan_a",), ["gan_b"], "is taken from faces, version 7"),
        (False, (), ["primary", "gan_a", "gan_b"], "was trained on from faces, version 7"),
    ],
)
def test_only_what_was_trained_here_is_said_to_be_trained_on_these_images(taken, heads, trained, limit):
    card = with_origin(CARD, {**ORIGIN, "taken": taken}, heads)
    assert card["data"] == [{"span": 1, "models": trained}]
    assert card["known_limits"][0] == "Few images."
    assert limit in card["known_limits"][1]
    assert ("heads gan_a" in card["known_limits"][1]) == bool(heads)
    assert CARD["data"][0]["models"] == ["primary", "gan_a", "gan_b"]
