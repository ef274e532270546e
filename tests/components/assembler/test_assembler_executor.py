import json

import pytest
from tfx.types import standard_artifacts

from components.assembler import executor
from components.assembler.assembly import Assembly, Candidate
from components.features.parameters import InputParameters


def artifact(kind, uri, **properties):
    made = kind()
    made.uri = str(uri)
    for name, value in properties.items():
        made.set_int_custom_property(name, value)
    return [made]


@pytest.mark.parametrize(("blessed", "expected"), [(1, True), (0, False)])
def test_blessings_are_read_from_the_evaluators_artifacts(monkeypatch, tmp_path, blessed, expected):
    received = []
    monkeypatch.setattr(executor, "assemble", lambda *given: received.append(given) or Assembly("", {}, []))
    inputs = InputParameters(size=64)
    executor.AssemblerExecutor().Do(
        {
            "transform_graph": artifact(standard_artifacts.TransformGraph, "/graph"),
            "primary": artifact(standard_artifacts.Model, "/primary"),
            "primary_blessing": artifact(standard_artifacts.ModelBlessing, "/b", blessed=1),
            "model.b_y": artifact(standard_artifacts.Model, "/b_y"),
            "blessing.b_y": artifact(standard_artifacts.ModelBlessing, "/b", blessed=blessed),
            "model.a_x": artifact(standard_artifacts.Model, "/a_x"),
            "blessing.a_x": artifact(standard_artifacts.ModelBlessing, "/b", blessed=1),
        },
        {"model": artifact(standard_artifacts.Model, tmp_path)},
        {"sources": json.dumps(["b_y", "a_x"]), "level": "instance", "inputs": inputs.model_dump_json()},
    )
    ((folder, graph, received_inputs, primary, heads, level),) = received
    assert (folder, graph, received_inputs, level) == (tmp_path, "/graph", inputs, "instance")
    assert primary == Candidate(type(folder)("/primary"), blessed=True)
    assert [(source, str(head.model), head.blessed) for source, head in heads.items()] == [
        ("b_y", "/b_y", expected),
        ("a_x", "/a_x", True),
    ]
