import json
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.assembler import executor
from components.assembler.assembly import Candidate
from components.features.parameters import InputParameters
from components.servable.assembly import Assembly
from components.servable.parameters import VerdictParameters

INPUTS = InputParameters(size=64)


def artifact(kind, uri, **properties):
    made = kind()
    made.uri = str(uri)
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return [made]


def trained(name, blessed, number):
    """The inputs of one trained module."""
    model, blessing, run, examples = executor.input_keys(name)
    given = {
        model: artifact(standard_artifacts.Model, f"/root/Trainer.{name}/model/{number}"),
        blessing: artifact(standard_artifacts.ModelBlessing, "/b", blessed=blessed),
        run: artifact(standard_artifacts.ModelRun, f"/root/Trainer.{name}/model_run/{number}"),
        examples: artifact(standard_artifacts.Examples, "/root/ImportExampleGen/examples/1", span=4),
    }
    given[model][0].id = 10 * number
    return given


@pytest.fixture
def carried_out(monkeypatch, tmp_path):
    """Runs the executor on two heads: what `assemble` and `build_card` were given."""
    received = {}
    points = {}

    def assemble(*given):
        received.update(assembled=given)
        (given[0] / "Format-Serving" / "assets").mkdir(parents=True)
        (given[0] / "Format-Serving" / "assets" / "operating_points.json").write_text(json.dumps(points))
        return Assembly("", {}, [])

    card = {"name": "demo", "known_limits": []}
    monkeypatch.setattr(executor, "assemble", assemble)
    monkeypatch.setattr(executor, "build_card", lambda *given: received.update(card=given) or card)

    def run(blessed=1, band=None, acceptance=None, **further):
        points.update({} if acceptance is None else {"acceptance": acceptance})
        executor.AssemblerExecutor().Do(
            {
                "transform_graph": artifact(standard_artifacts.TransformGraph, "/graph"),
                **trained("primary", 1, 6),
                **trained("b_y", blessed, 8),
                **trained("a_x", 1, 7),
                **further,
            },
            {"model": artifact(standard_artifacts.Model, tmp_path / "Assembler" / "model" / "9")},
            {
                "sources": json.dumps(["b_y", "a_x"]),
                "level": "instance",
                "inputs": INPUTS.model_dump_json(),
                "dataset": "/data",
                "verdict": VerdictParameters(uncertain_band=band).model_dump_json(),
                "source_digest": "0123",
            },
        )
        return received

    return run


@pytest.mark.parametrize(("blessed", "expected"), [(1, True), (0, False)])
def test_blessings_are_read_from_the_evaluators_artifacts(carried_out, tmp_path, blessed, expected):
    folder, graph, inputs, primary, heads, level, _ = carried_out(blessed)["assembled"]
    assert (folder, graph, inputs, level) == (tmp_path / "Assembler/model/9", "/graph", INPUTS, "instance")
    run = Path("/root/Trainer.primary/model_run/6")
    assert primary == Candidate(Path("/root/Trainer.primary/model/6"), blessed=True, run=run)
    assert [(source, head.model.name, head.blessed) for source, head in heads.items()] == [
        ("b_y", "8", expected),
        ("a_x", "7", True),
    ]


@pytest.mark.parametrize("band", [None, (0.4, 0.6)])
def test_the_band_reaches_servable_and_card(carried_out, band):
    received = carried_out(band=band)
    assert received["assembled"][-1].uncertain_band == received["card"][-1] == band


@pytest.mark.parametrize("robust", [0, 1])
def test_the_primary_modules_blessing_on_perturbed_copies_counts(carried_out, robust):
    given = {executor.ROBUSTNESS_KEY: artifact(standard_artifacts.ModelBlessing, "/b", blessed=robust)}
    assert carried_out(**given)["assembled"][3].robust == bool(robust)


def test_the_card_is_told_who_made_what_on_which_span_and_lies_in_the_servable(carried_out, tmp_path):
    run, _, level, graph, primary, heads, dataset, _ = carried_out()["card"]
    assert (run.execution, run.source_digest, level, graph.uri, str(dataset)) == (
        "9",
        "0123",
        "instance",
        "/graph",
        "/data",
    )
    assert (primary.model.id, primary.model.node, primary.model.execution) == (60, "Trainer.primary", "6")
    assert (heads["a_x"].examples.span, heads["a_x"].run.uri) == (4, "/root/Trainer.a_x/model_run/7")
    card = tmp_path / "Assembler/model/9/Format-Serving/assets.extra/model_card.json"
    assert json.loads(card.read_text()) == {"name": "demo", "known_limits": []}


def test_the_acceptance_threshold_of_the_servable_stands_in_the_card(carried_out, tmp_path):
    acceptance = {"score": "energy", "threshold": 1.5, "known_rejection": 0.05}
    carried_out(acceptance=acceptance)
    card = json.loads((tmp_path / "Assembler/model/9/Format-Serving/assets.extra/model_card.json").read_text())
    assert card["acceptance"] == acceptance
    assert "energy of all heads is below 1.5 is called unknown_generator" in card["known_limits"][0]
