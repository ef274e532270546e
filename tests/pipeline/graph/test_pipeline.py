import json

import pytest
from tfx.dsl.compiler.compiler import Compiler

from components.digest import source_digest
from pipeline.config.schema import validate_config
from pipeline.graph.pipeline import create_pipeline

DATA = ["ImportExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Transform"]
PRIMARY = ["PrimaryTrainer", "Evaluator.primary"]
END = ["Assembler", "ServableValidator", "ReferenceStatistics", "Pusher"]
TURNS = "LeaveOneOut"  # of at least two sources
LATER = {"name": "late_c", "span": 4}


def compiled(*sources, **changes):
    """The intermediate representation of the pipeline with these sources: node identifier -> node."""
    values = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo", "sources": list(sources)}
    representation = Compiler().compile(create_pipeline(validate_config(values | changes, "test")))
    return {node.pipeline_node.node_info.id: node.pipeline_node for node in representation.nodes}


@pytest.fixture(scope="module")
def two_sources():
    return compiled("first_a", "second_b")


@pytest.fixture(scope="module")
def with_a_third():
    return compiled("first_a", "second_b", "third_c")


@pytest.fixture(scope="module")
def with_a_later_span():
    return compiled("first_a", "second_b", LATER)


def parameter(node, name):
    return node.parameters.parameters[name].field_value.string_value


def what_keys_the_cache(node):
    """Everything of a node but who reads its outputs."""
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.downstream_nodes[:]
    return copy.SerializeToString(deterministic=True)


def producers(node, key) -> list[str]:
    """The nodes whose output a node reads under an input's name."""
    return [channel.producer_node_query.id for channel in node.inputs.inputs[key].channels]


def test_the_nodes_are_those_that_are_documented(two_sources):
    trained = [f"{kind}.{source}" for source in ("first_a", "second_b") for kind in ("SecondaryTrainer", "Evaluator")]
    assert sorted(two_sources) == sorted([*DATA, *PRIMARY, *trained, *END, TURNS])


def test_every_node_comes_after_those_that_it_reads(with_a_later_span):
    order = list(with_a_later_span)
    for name, node in with_a_later_span.items():
        assert all(order.index(upstream) < order.index(name) for upstream in node.upstream_nodes), name


@pytest.mark.parametrize(
    ("node", "upstream"),
    [
        ("StatisticsGen", {"ImportExampleGen"}),
        ("SchemaGen", {"StatisticsGen"}),
        ("ExampleValidator", {"StatisticsGen", "SchemaGen"}),
        ("Transform", {"ImportExampleGen", "SchemaGen"}),
        ("PrimaryTrainer", {"ImportExampleGen", "Transform"}),
        ("Evaluator.primary", {"ImportExampleGen", "PrimaryTrainer", "SchemaGen"}),
        ("SecondaryTrainer.first_a", {"ImportExampleGen", "Transform", "PrimaryTrainer"}),
        ("Evaluator.first_a", {"ImportExampleGen", "SecondaryTrainer.first_a", "SchemaGen"}),
        (
            "Assembler",
            {
                *("Transform", "PrimaryTrainer", "Evaluator.primary"),
                *("SecondaryTrainer.first_a", "Evaluator.first_a", "SecondaryTrainer.second_b", "Evaluator.second_b"),
            },
        ),
        ("ServableValidator", {"Assembler", "ImportExampleGen", "PrimaryTrainer", "SecondaryTrainer.first_a"}),
        ("ReferenceStatistics", {"Assembler", "ImportExampleGen", "ServableValidator"}),
        ("Pusher", {"Assembler", "ServableValidator", "ReferenceStatistics"}),
        ("LeaveOneOut", {"ImportExampleGen", "Transform", "PrimaryTrainer", "Pusher"}),
    ],
)
def test_a_node_reads_what_is_documented(two_sources, node, upstream):
    assert upstream <= set(two_sources[node].upstream_nodes)


@pytest.mark.parametrize("node", ["PrimaryTrainer", "SecondaryTrainer.late_c", "SecondaryTrainer.first_a"])
def test_no_training_starts_before_its_data_was_checked(with_a_later_span, node):
    """Directly or through others: an anomaly must stop the run before anything is trained."""
    waiting, before = [node], set()
    while waiting:
        for upstream in with_a_later_span[waiting.pop()].upstream_nodes:
            if upstream not in before:
                before.add(upstream)
                waiting.append(upstream)
    gates = {"ExampleValidator"} | ({"ExampleValidator.span-4"} if node.endswith("late_c") else set())
    assert gates <= before


def test_a_head_reads_the_primary_trainers_model_and_no_other(two_sources):
    """Heads are Model artifacts as well: without its producer's name, the newest of any kind would be read."""
    assert producers(two_sources["SecondaryTrainer.second_b"], "primary") == ["PrimaryTrainer"]


def test_the_assembler_reads_each_head_and_its_blessing_under_its_own_name(two_sources):
    for source in ("first_a", "second_b"):
        assert producers(two_sources["Assembler"], f"model.{source}") == [f"SecondaryTrainer.{source}"]
        assert producers(two_sources["Assembler"], f"blessing.{source}") == [f"Evaluator.{source}"]


def test_adding_a_source_adds_its_trainer_and_its_evaluator_and_nothing_else(two_sources, with_a_third):
    assert set(with_a_third) - set(two_sources) == {"SecondaryTrainer.third_c", "Evaluator.third_c"}
    assert set(two_sources) <= set(with_a_third)


@pytest.mark.parametrize("wider", ["with_a_third", "with_a_later_span"])
def test_adding_a_source_changes_no_trainer_or_evaluator_that_was_there(two_sources, wider, request):
    pipeline = request.getfixturevalue(wider)
    unchanged = [name for name in two_sources if name not in (*END, TURNS)]
    assert len(unchanged) == 11
    for name in unchanged:
        assert what_keys_the_cache(pipeline[name]) == what_keys_the_cache(two_sources[name]), name


def test_a_source_with_a_span_of_its_own_reads_it_through_nodes_of_its_own(two_sources, with_a_later_span):
    chain = [f"{node}.span-4" for node in DATA[:4]]
    assert set(with_a_later_span) - set(two_sources) == {*chain, "SecondaryTrainer.late_c", "Evaluator.late_c"}
    for name in ("SecondaryTrainer.late_c", "Evaluator.late_c"):
        assert producers(with_a_later_span[name], "examples") == ["ImportExampleGen.span-4"], name
    static_range = json.loads(parameter(with_a_later_span["ImportExampleGen.span-4"], "range_config"))["static_range"]
    assert static_range == {"start_span_number": 4, "end_span_number": 4}


def test_sources_of_the_same_span_share_its_nodes(with_a_later_span):
    both = compiled("first_a", "second_b", LATER, {"name": "late_d", "span": 4})
    assert set(both) - set(with_a_later_span) == {"SecondaryTrainer.late_d", "Evaluator.late_d"}


def test_without_a_span_the_newest_is_read_and_with_one_that_one(two_sources):
    assert "range_config" not in two_sources["ImportExampleGen"].parameters.parameters
    fixed = compiled(data={"dataset": "data/demo", "span": 2})["ImportExampleGen"]
    assert json.loads(parameter(fixed, "range_config"))["static_range"]["start_span_number"] == 2


PERTURBED = {"split": "test", "perturbations": {"jpeg_95": {"min_roc_auc": 0.7}, "blur_5": {}}}


@pytest.fixture(scope="module")
def with_perturbations():
    return compiled("first_a", "second_b", evaluation=PERTURBED)


def test_perturbations_add_the_copies_their_judge_and_the_scores_of_the_servable(with_perturbations, two_sources):
    added = {"PerturbedExamples", "RobustnessEvaluator", "RobustnessScores"}
    assert set(with_perturbations) - set(two_sources) == added


def test_the_judge_gates_the_primary_module_before_anything_is_assembled(with_perturbations):
    assert producers(with_perturbations["Assembler"], "robustness_blessing") == ["RobustnessEvaluator"]


def test_copies_that_are_only_reported_do_not_stop_the_assembler():
    reported = compiled("first_a", "second_b", evaluation={"split": "test", "perturbations": {"blur_5": {}}})
    assert "RobustnessEvaluator" in reported
    assert "robustness_blessing" not in reported["Assembler"].inputs.inputs


@pytest.mark.parametrize(("views", "smallest"), [(None, 64), (4, 64)])
def test_copies_may_be_as_small_as_the_models_judge(views, smallest):
    inputs = {"representation": "pixel", "size": 96 if views else 64, "views": views}
    made = compiled("first_a", "second_b", evaluation=PERTURBED, input=inputs)["PerturbedExamples"]
    assert made.parameters.parameters["size"].field_value.int_value == smallest


def test_the_scores_are_the_assembled_servables_on_the_copies(with_perturbations):
    scores = with_perturbations["RobustnessScores"]
    assert producers(scores, "model") == ["Assembler"]
    assert producers(scores, "perturbed") == ["PerturbedExamples"]
    assert parameter(scores, "split") == "test"
    assert parameter(scores, "source_digest") == source_digest("components.robustness_scores.executor")


def test_no_servable_waits_for_the_scores_of_copies(with_perturbations):
    order = list(with_perturbations)
    assert order.index("Pusher") < order.index("RobustnessScores")
    assert not with_perturbations["RobustnessScores"].downstream_nodes


def test_sources_of_the_main_span_take_turns_as_the_unknown_one_and_no_servable_waits_for_it(with_a_later_span):
    node = with_a_later_span[TURNS]
    assert json.loads(parameter(node, "sources")) == ["first_a", "second_b"]
    assert producers(node, "primary") == ["PrimaryTrainer"]
    assert not node.downstream_nodes


def test_turns_are_taken_as_heads_are_trained_and_scored_as_models_are_judged():
    nodes = compiled("first_a", "second_b", secondary={"epochs": 7}, evaluation={"split": "eval"})
    assert json.loads(parameter(nodes[TURNS], "training"))["epochs"] == 7
    assert parameter(nodes[TURNS], "split") == "eval"


@pytest.mark.parametrize(
    ("sources", "open_set", "taken"),
    [
        (1, {}, False),
        (2, {}, True),
        (2, {"leave_one_out": False}, False),
        (8, {}, True),
        (9, {}, False),
        (9, {"most_sources": 9}, True),
    ],
)
def test_turns_are_taken_by_at_least_two_sources_and_not_by_too_many(sources, open_set, taken):
    assert (TURNS in compiled(*(f"s{number}_x" for number in range(sources)), open_set=open_set)) == taken


def test_a_lone_source_of_the_main_span_takes_no_turn():
    assert TURNS not in compiled("first_a", LATER)


BASELINES = [
    {"architecture": "gdaconv", "task": "detection"},
    {"architecture": "postpool", "task": "attribution"},
    {"architecture": "notl", "task": "multiclass"},
]


@pytest.fixture(scope="module")
def with_baselines():
    return compiled("first_a", "second_b", LATER, baselines=BASELINES)


def test_baselines_add_a_trainer_each_and_for_attribution_one_a_source_of_the_main_span(
    with_baselines, with_a_later_span
):
    assert set(with_baselines) - set(with_a_later_span) == {
        "BaselineTrainer.gdaconv.detection",
        "BaselineTrainer.postpool.attribution.first_a",
        "BaselineTrainer.postpool.attribution.second_b",
        "BaselineTrainer.notl.multiclass",
    }


def test_baselines_change_nothing_of_what_is_served(with_baselines, with_a_later_span):
    for name, node in with_a_later_span.items():
        assert what_keys_the_cache(with_baselines[name]) == what_keys_the_cache(node), name


def test_another_source_trains_the_softmax_again_and_no_other_baseline(with_baselines):
    """What one network for all classes costs, and heads do not."""
    wider = compiled("first_a", "second_b", "third_c", LATER, baselines=BASELINES)
    changed = {
        name
        for name, node in with_baselines.items()
        if name.startswith("Baseline") and what_keys_the_cache(wider[name]) != what_keys_the_cache(node)
    }
    assert changed == {"BaselineTrainer.notl.multiclass"}


def test_the_level_of_attribution_reaches_heads_baselines_and_the_servable():
    nodes = compiled(
        "progan", attribution_level="architecture", baselines=[{"architecture": "notl", "task": "multiclass"}]
    )
    for name in ("SecondaryTrainer.progan", "BaselineTrainer.notl.multiclass", "Assembler"):
        assert parameter(nodes[name], "level") == "architecture", name


def test_the_band_reaches_the_assembler_and_changes_no_other_node(two_sources):
    banded = compiled("first_a", "second_b", verdict={"uncertain_band": [0.4, 0.6]})
    assert json.loads(parameter(banded["Assembler"], "verdict"))["uncertain_band"] == [0.4, 0.6]
    assert json.loads(parameter(two_sources["Assembler"], "verdict"))["uncertain_band"] is None
    changed = [
        name for name, node in banded.items() if what_keys_the_cache(node) != what_keys_the_cache(two_sources[name])
    ]
    assert changed == ["Assembler"]


def test_an_acceptance_score_reaches_the_assembler_and_changes_no_other_node(two_sources):
    accepting = compiled("first_a", "second_b", verdict={"acceptance": "energy", "known_rejection": 0.1})
    verdict = json.loads(parameter(accepting["Assembler"], "verdict"))
    assert (verdict["acceptance"], verdict["known_rejection"]) == ("energy", 0.1)
    assert json.loads(parameter(two_sources["Assembler"], "verdict"))["acceptance"] == "none"
    changed = [
        name for name, node in accepting.items() if what_keys_the_cache(node) != what_keys_the_cache(two_sources[name])
    ]
    assert changed == ["Assembler"]


def test_colours_reach_the_preprocessing():
    nodes = compiled(input={"representation": "pixel", "colour": "grey"})
    assert json.loads(parameter(nodes["Transform"], "custom_config"))["colours"] == {
        "pixel": "grey",
        "dct": "grey",
        "residual": "rgb",
    }


def test_a_warm_start_reaches_the_nodes_that_have_an_earlier_model(tmp_path):
    values = {"name": "demo", "data": {"dataset": "d"}, "output_root": "r", "sources": ["old_a", "new_b"]}
    earlier = {"PrimaryTrainer": tmp_path / "primary", "SecondaryTrainer.old_a": tmp_path / "head"}
    pipeline = Compiler().compile(create_pipeline(validate_config(values, "test"), earlier))
    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in pipeline.nodes}
    assert parameter(nodes["PrimaryTrainer"], "warm_start") == str(tmp_path / "primary")
    assert parameter(nodes["SecondaryTrainer.old_a"], "warm_start") == str(tmp_path / "head")
    assert parameter(nodes["SecondaryTrainer.new_b"], "warm_start") == ""


def test_heads_of_a_given_model_are_assembled_beside_new_ones_without_being_judged(tmp_path, two_sources):
    values = {"name": "demo", "data": {"dataset": "data/demo"}, "output_root": "runs/demo", "sources": ["first_a"]}
    config = validate_config({**values, "primary": {"model": "faces"}}, "test")
    starts = {"PrimaryTrainer": "primary", "SecondaryTrainer.first_a": "first", "SecondaryTrainer.kept_b": "kept"}
    given = {name: tmp_path / place for name, place in starts.items()}
    nodes = {
        node.pipeline_node.node_info.id: node.pipeline_node
        for node in Compiler().compile(create_pipeline(config, given)).nodes
    }
    assert "Evaluator.first_a" in nodes
    assert "Evaluator.kept_b" not in nodes
    assert parameter(nodes["SecondaryTrainer.kept_b"], "warm_start") == str(given["SecondaryTrainer.kept_b"])
    assert json.loads(parameter(nodes["SecondaryTrainer.kept_b"], "training"))["model"] == "faces"
    assert parameter(nodes["SecondaryTrainer.first_a"], "warm_start") == ""
    assert json.loads(parameter(nodes["SecondaryTrainer.first_a"], "training"))["model"] is None
    assert json.loads(parameter(nodes["Assembler"], "sources")) == ["kept_b", "first_a"]
    assert producers(nodes["Assembler"], "model.kept_b") == ["SecondaryTrainer.kept_b"]
    assert "blessing.kept_b" not in nodes["Assembler"].inputs.inputs


def test_a_pipeline_without_sources_has_the_primary_module_alone():
    assert sorted(compiled()) == sorted(DATA + PRIMARY + END)


def test_a_configuration_compiles_to_the_same_bytes_every_time(two_sources, with_a_later_span):
    again = compiled("first_a", "second_b", LATER)
    assert list(again) == list(with_a_later_span)
    for name, node in again.items():
        assert node.SerializeToString(deterministic=True) == with_a_later_span[name].SerializeToString(
            deterministic=True
        ), name


@pytest.mark.parametrize(
    ("node", "module"),
    [
        ("ExampleValidator", "components.example_validator.executor"),
        ("PrimaryTrainer", "components.trainer.executor"),
        ("SecondaryTrainer.first_a", "components.trainer.executor"),
        ("Assembler", "components.assembler.executor"),
    ],
)
def test_the_digest_of_its_source_keys_the_cache_of_a_step(two_sources, node, module):
    assert parameter(two_sources[node], "source_digest") == source_digest(module)


@pytest.mark.parametrize(
    ("node", "module"),
    [("Transform", "components.features.preprocessing"), ("Pusher", "components.pusher.executor")],
)
def test_steps_of_tfx_carry_the_digest_in_their_custom_configuration(two_sources, node, module):
    assert json.loads(parameter(two_sources[node], "custom_config"))["source_digest"] == source_digest(module)


def test_the_validators_digest_covers_the_server(two_sources):
    expected = source_digest("components.servable_validator.executor", "serving.server.__main__")
    assert parameter(two_sources["ServableValidator"], "source_digest") == expected


@pytest.mark.parametrize(
    ("changes", "retrained"),
    [
        ({"primary": {"epochs": 3}}, {"PrimaryTrainer"}),
        ({"secondary": {"epochs": 3}}, {"SecondaryTrainer.first_a", "SecondaryTrainer.second_b"}),
        ({"validation": {"images": 3}}, set()),
        ({"evaluation": {"detection": {"min_roc_auc": 0.6}}}, set()),
    ],
)
def test_a_parameter_changes_only_the_trainers_that_it_is_for(two_sources, changes, retrained):
    changed = compiled("first_a", "second_b", **changes)
    trainers = [name for name in two_sources if "Trainer" in name]
    differing = {
        name for name in trainers if what_keys_the_cache(changed[name]) != what_keys_the_cache(two_sources[name])
    }
    assert differing == retrained


def test_caching_is_on_and_the_metadata_store_lies_under_the_output_root(tmp_path):
    values = {"name": "demo", "data": {"dataset": "d"}, "output_root": str(tmp_path)}
    pipeline = create_pipeline(validate_config(values, "test"))
    assert pipeline.enable_cache
    store = pipeline.metadata_connection_config.sqlite.filename_uri
    assert store == str(tmp_path / "metadata" / "metadata.sqlite")
    assert pipeline.pipeline_info.pipeline_root == str(tmp_path / "pipeline")
