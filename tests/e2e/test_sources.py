"""A source that is added, retired and added again, each by a run of the pipeline that touches nothing else."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import CONFIGURED, LATER, SIZE, small_configuration, write_configuration

pytestmark = pytest.mark.e2e

END = {"Assembler", "ServableValidator", "ReferenceStatistics", "Pusher"}


@pytest.fixture(scope="module")
def genattr():
    """Runs a command in this process: exit code, and what it printed as JSON."""
    import contextlib
    import io

    from pipeline.cli.main import main

    def run(*words) -> tuple[int, dict]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = main([*map(str, words), "--json"])
        return code, json.loads(printed.getvalue() or "null")

    return run


@pytest.fixture(scope="module")
def served(image_tree, tmp_path_factory, genattr):
    """A pipeline whose span is left open, run once on span 1; span 2, prepared since, is the newest."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    root = tmp_path_factory.mktemp("sources")
    prepare(image_tree, root / "dataset", PreparationParameters(size=SIZE))
    values = small_configuration(root / "dataset", root / "run")
    values["primary"] = values["secondary"] = {"epochs": 1, "batch_size": 16}
    config = write_configuration(root / "small.yaml", values)
    code, outcome = genattr("run", config)
    assert code == 0, outcome
    prepare(image_tree, root / "dataset", PreparationParameters(size=SIZE, span=2, seed=1))
    return config, root / "run"


def executed(root: Path) -> set[str]:
    """The nodes that the newest run executed, as the metadata store has it."""
    from ml_metadata.metadata_store.metadata_store import MetadataStore
    from tfx.orchestration import metadata

    from pipeline.metadata.lineage import read_run

    store = MetadataStore(metadata.sqlite_metadata_connection_config(str(root / "metadata" / "metadata.sqlite")))
    newest = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: context.id)
    return {node for node, record in read_run(store, "small", newest.name).items() if record.state == "COMPLETE"}


def versions(root: Path) -> list[Path]:
    return sorted((root / "serving" / "generator_attribution").iterdir())


def heads(version: Path) -> list[str]:
    return list(json.loads((version / "assets" / "operating_points.json").read_text())["sources"])


@pytest.fixture(scope="module")
def added(served, genattr):
    config, root = served
    return *genattr("sources", "add", config, LATER), executed(root), versions(root)


@pytest.fixture(scope="module")
def retired(served, added, genattr):
    config, root = served
    return *genattr("sources", "retire", config, CONFIGURED[0]), executed(root), versions(root)


@pytest.fixture(scope="module")
def added_again(served, retired, genattr):
    config, root = served
    return *genattr("sources", "add", config, CONFIGURED[0]), executed(root), versions(root)


def test_an_added_source_trains_its_head_alone_on_the_primary_module_that_is_served(added):
    code, change, nodes, pushed = added
    assert code == 0, change
    reading = {f"{node}.span-2" for node in ("ImportExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator")}
    assert nodes == {*reading, f"SecondaryTrainer.{LATER}", f"Evaluator.{LATER}", *END}
    assert (change["span"], change["primary_span"]) == (2, 1)
    assert set(change["executed"]) == nodes
    assert "PrimaryTrainer" in change["cached"]
    assert heads(pushed[-1]) == [*CONFIGURED, LATER]


def test_the_configuration_is_left_alone_and_the_registry_remembers(added, served):
    config, root = served
    assert LATER not in config.read_text()
    entry = json.loads((root / "sources.json").read_text())["sources"][LATER]
    assert (entry["span"], entry["retired"]) == (2, None)


def test_the_card_says_what_each_model_was_trained_on_and_what_the_store_says_of_it(added, genattr):
    *_, pushed = added
    _, described = genattr("describe", pushed[-1])
    card = described["card"]
    assert {model["name"]: model["span"] for model in card["models"]} == {
        "primary": 1, **dict.fromkeys(CONFIGURED, 1), LATER: 2,
    }  # fmt: skip
    made = {execution["id"]: execution for execution in described["executions"]}
    for artifact in card["lineage"]["artifacts"]:
        maker = made[int(artifact["execution"])]
        assert maker["node"] == artifact["node"]
        written = {output["id"] for output in maker["outputs"]}
        read = {given["id"] for given in maker["inputs"]}
        assert artifact["id"] in written
        assert set(artifact["made_from"]) <= read, artifact["role"]
    assert card["lineage"]["run_id"] == made[int(card["lineage"]["execution"])]["run_id"]


def test_the_report_links_the_card_that_lies_beside_it(added):
    _, change, _, pushed = added
    report = Path(change["report"])
    assert 'href="model_card.html"' in report.read_text()
    assert f"version {pushed[-1].name}" in (report.parent / "model_card.html").read_text()


def test_a_retired_source_is_left_out_and_nothing_is_trained(retired):
    code, change, nodes, pushed = retired
    assert code == 0, change
    assert nodes == END
    assert heads(pushed[-1]) == [CONFIGURED[1], LATER]
    assert (change["before"], change["after"]) == (int(pushed[-2].name), int(pushed[-1].name))


def test_the_list_says_what_is_served_since_when_and_what_was_retired(served, retired, genattr):
    config, root = served
    _, rows = genattr("sources", "list", config)
    by_name = {row["source"]: row for row in rows}
    first, second, _ = versions(root)[:3]
    assert by_name[CONFIGURED[1]]["served_since"] == int(first.name)
    assert by_name[LATER]["served_since"] == int(second.name)
    assert by_name[CONFIGURED[0]]["served_since"] is None
    assert by_name[CONFIGURED[0]]["retired"]
    assert by_name[LATER]["blessed"] and by_name[LATER]["images"]["train"] == 18


def test_a_retired_source_comes_back_from_the_cache_and_is_pushed_as_a_new_version(added_again):
    code, change, nodes, pushed = added_again
    assert code == 0, change
    assert nodes == {"Pusher"}
    assert change["span"] == 1
    assert heads(pushed[-1]) == [*CONFIGURED, LATER]
    assert len(pushed) == 4


def test_a_head_that_is_not_blessed_is_not_served_and_not_registered(served, added_again, genattr, tmp_path):
    config, root = served
    assert genattr("sources", "retire", config, LATER)[0] == 0
    before, registered = versions(root), (root / "sources.json").read_text()
    strict = (
        "--set",
        "evaluation.attribution.min_average_precision=1.0",
        "--set",
        "evaluation.attribution.min_roc_auc=1.0",
    )
    code, change = genattr("sources", "add", config, LATER, *strict)
    assert code == 1
    assert f"the head of '{LATER}' is not blessed" in change["error"]
    assert "roc_auc is" in change["error"]
    assert versions(root) == before
    assert (root / "sources.json").read_text() == registered


def test_a_change_that_would_train_the_primary_module_again_is_stopped_before_it_does(served, added_again, genattr):
    config, root = served
    before = versions(root)
    code, change = genattr("sources", "retire", config, CONFIGURED[0], "--set", "primary.epochs=3")
    assert code == 1
    assert "PrimaryTrainer would train again" in change["error"]
    assert change["failed"] == ["PrimaryTrainer"]
    assert versions(root) == before
