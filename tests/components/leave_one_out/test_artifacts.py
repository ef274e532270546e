import json

import numpy as np

from components.leave_one_out.artifacts import FIGURES_FILE, read_evaluation, write_evaluation
from components.metrics.open_set_turns import OpenSetEvaluation, OpenSetTurn, to_document


def turn(left_out, seed):
    draw = np.random.default_rng(seed)
    sources = np.repeat(["ä_b", "c_d"], 12)
    claimed = np.where(sources == left_out, "c_d", sources)
    paths = np.array([f"fake/{number}.png" for number in range(24)])
    return OpenSetTurn(left_out, sources, paths, claimed, {name: draw.normal(size=24) for name in ("z", "a")})


def test_an_evaluation_is_read_as_it_was_written(tmp_path):
    written = OpenSetEvaluation("eval", [turn("ä_b", 0), turn("c_d", 1)])
    write_evaluation(tmp_path / "artifact", written)
    again = read_evaluation(tmp_path / "artifact")
    assert (again.split, again.score_names) == ("eval", ("z", "a"))
    for one, other in zip(written.turns, again.turns, strict=True):
        assert one.left_out == other.left_out
        for part in ("sources", "paths", "claimed"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
        for name in one.scores:
            np.testing.assert_array_equal(one.scores[name], other.scores[name])
    assert json.loads((tmp_path / "artifact" / FIGURES_FILE).read_text()) == to_document(again)
