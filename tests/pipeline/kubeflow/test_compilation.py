"""The compiled Kubeflow package: what stands in it, and what is refused before it is written."""

import json

import pytest
import yaml
from kfp.components import load_component_from_file

from pipeline.cluster.plan import compile_ir, graph_digest, upstream_nodes
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.kubeflow.compilation import compile_package, kfp_name
from tests.support.kubeflow_harness import Package

MOUNT = "/mnt/generator-attribution"
RUN_ID = "{{$.inputs.parameters['run_id']}}"
GPU = {"gpus": 1, "memory": "16Gi", "node_selector": {"pool": "gpu"}, "tolerations": [{"key": "nvidia.com/gpu"}]}


def values(**changed):
    return {
        "name": "Gan_fp",
        "data": {"dataset": f"{MOUNT}/data/ganfp"},
        "output_root": f"{MOUNT}/runs/ganfp",
        "metadata": {"kind": "mysql", "host": "metadata-store"},
        "sources": ["progan_celeba", "sngan_celeba"],
        "kubeflow": {
            "image": "registry.example/generator-attribution:1.2.3",
            "image_pull_secrets": ["registry"],
            "resources": {"cpu": "500m", "cpu_limit": "2", "retries": 3, "retry_seconds": 7},
            "nodes": {
                "PrimaryTrainer": GPU,
                "SecondaryTrainer": {"cpu": "3", "shared_memory": "2Gi"},
                "SecondaryTrainer.sngan_celeba": {"cpu": "4", "timeout_minutes": 90},
                "Pusher": {"retries": 0, "shared_memory": None},
            },
        },
    } | changed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "pipeline.yaml"
    names = compile_package(validate_config(values(), "test"), path)
    return path, names, Package.load(path)


def test_the_sdk_loads_the_package(written):
    loaded = load_component_from_file(str(written[0]))
    assert loaded.pipeline_spec.pipeline_info.name == "gan-fp"
    assert set(loaded.component_spec.inputs) == {"span", "image"}


def test_there_is_one_task_for_each_node_with_the_edges_of_the_ir(written):
    _, names, package = written
    upstream = upstream_nodes(compile_ir(validate_config(values(), "test")))
    tasks = package.dag("comp-exit-handler-1")
    task_of = {task.task_info.name: task for task in tasks.values()}
    assert names == ["plan", *upstream, "report"]
    assert set(task_of) == {"plan", *upstream}
    for node, needed in upstream.items():
        waits_for = {tasks[name].task_info.name for name in task_of[node].dependent_tasks}
        assert waits_for == set(needed or ["plan"]), node


def test_heads_wait_for_no_other_head(written):
    _, _, package = written
    tasks = package.dag("comp-exit-handler-1")
    for name, task in tasks.items():
        if name.startswith("secondarytrainer"):
            assert not [other for other in task.dependent_tasks if other.startswith("secondarytrainer")]


def test_the_report_is_written_however_the_run_ended(written):
    report = written[2].dag()["report"]
    assert list(report.dependent_tasks) == ["exit-handler-1"]
    assert report.trigger_policy.strategy == report.trigger_policy.ALL_UPSTREAM_TASKS_COMPLETED


def test_every_container_runs_the_node_entry_point_of_the_run_parameter_image(written):
    _, _, package = written
    for name, container in package.executors.items():
        assert container["command"] == ["python", "-m", "pipeline.cluster"], name
        assert container["image"] == "{{$.inputs.parameters['pipelinechannel--image']}}"
        assert container["args"][1:5] == ["--output-root", f"{MOUNT}/runs/ganfp", "--run-id", RUN_ID]
    assert package.spec.root.input_definitions.parameters["image"].default_value.string_value.endswith(":1.2.3")


def test_every_task_is_told_its_run_by_the_one_way_that_kubeflow_fills_in(written):
    _, _, package = written
    tasks = [*package.dag("comp-exit-handler-1").values(), package.dag()["report"]]
    told = [task.inputs.parameters["run_id"].runtime_value.constant.string_value for task in tasks]
    assert told == ["{{$.pipeline_job_uuid}}"] * len(package.executors)
    assert not [word for container in package.executors.values() for word in container["args"] if "job_uuid" in word]


def test_the_plan_gets_configuration_graph_and_span(written):
    words = written[2].executors["exec-plan"]["args"]
    given = dict(zip(words[1::2], words[2::2], strict=True))
    config = validate_config(json.loads(given["--configuration"]), "test")
    assert config == validate_config(values(), "test")
    assert given["--graph"] == graph_digest(compile_ir(config))
    assert given["--span"] == "{{$.inputs.parameters['span']}}"


def test_kubeflows_cache_is_off_everywhere(written):
    _, _, package = written
    tasks = [*package.dag("comp-exit-handler-1").values(), package.dag()["report"]]
    assert not any(task.caching_options.enable_cache for task in tasks)


RESOURCES = {
    "transform": {"resourceCpuRequest": "500m", "resourceCpuLimit": "2", "resourceMemoryLimit": "4Gi"},
    "primarytrainer": {"resourceMemoryRequest": "16Gi", "resourceMemoryLimit": "16Gi", "resourceCpuRequest": "500m"},
    "secondarytrainer-progan-celeba": {"resourceCpuRequest": "3"},
    "secondarytrainer-sngan-celeba": {"resourceCpuRequest": "4"},
}


@pytest.mark.parametrize("task", RESOURCES)
def test_resources_are_those_of_the_node_else_its_kind_else_all(written, task):
    given = written[2].executors[f"exec-{task}"]["resources"]
    assert given | RESOURCES[task] == given


def test_only_the_node_that_asks_gets_a_gpu_and_may_run_where_gpus_are(written):
    _, _, package = written
    for name, container in package.executors.items():
        platform = package.platform[name]
        accelerator = container["resources"].get("accelerator")
        if name == "exec-primarytrainer":
            assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/gpu", "1")
            assert dict(platform.node_selector.labels) == {"pool": "gpu"}
            assert [(each.key, each.operator) for each in platform.tolerations] == [("nvidia.com/gpu", "Exists")]
        else:
            assert accelerator is None
            assert not platform.node_selector.labels and not platform.tolerations


def test_every_task_has_volume_password_user_and_time_limit(written):
    _, _, package = written
    for name, platform in package.platform.items():
        (mount,) = platform.pvc_mount
        assert (mount.constant, mount.mount_path) == ("generator-attribution", MOUNT), name
        (secret,) = platform.secret_as_env
        assert [(pair.secret_key, pair.env_var) for pair in secret.key_to_env] == [
            ("password", "GENATTR_METADATA_PASSWORD")
        ]
        security = platform.security_context
        assert security.run_as_non_root and security.run_as_user == security.run_as_group == 65532
        assert platform.active_deadline_seconds == (90 * 60 if name == "exec-secondarytrainer-sngan-celeba" else 86400)
        assert [each.secret_name for each in platform.image_pull_secret] == ["registry"]


def test_shared_memory_is_mounted_where_it_is_wanted(written):
    _, _, package = written
    sizes = {
        name: [(each.mount_path, each.medium, each.size_limit) for each in platform.empty_dir_mounts]
        for name, platform in package.platform.items()
    }
    assert sizes["exec-pusher"] == []
    assert sizes["exec-secondarytrainer-progan-celeba"] == [("/dev/shm", "Memory", "2Gi")]
    assert sizes["exec-transform"] == [("/dev/shm", "Memory", "1Gi")]


def test_failed_tasks_are_tried_again_with_a_growing_pause(written):
    tasks = written[2].dag("comp-exit-handler-1")
    policy = tasks["transform"].retry_policy
    assert (policy.max_retry_count, policy.backoff_duration.seconds, policy.backoff_factor) == (3, 7, 2.0)
    assert not tasks["pusher"].HasField("retry_policy")


def test_evaluators_and_the_report_declare_what_kubeflow_shows(written):
    components = written[2].spec.components
    shown = {
        name: {key: made.artifact_type.schema_title for key, made in component.output_definitions.artifacts.items()}
        for name, component in components.items()
        if component.output_definitions.artifacts
    }
    evaluated = {"metrics": "system.Metrics", "roc": "system.ClassificationMetrics"}
    names = ("primary", "progan-celeba", "sngan-celeba")
    assert shown == {f"comp-evaluator-{name}": evaluated for name in names} | {
        "comp-report": {
            "page": "system.HTML",
            "confusion": "system.ClassificationMetrics",
            "metrics": "system.Metrics",
        }
    }


def test_no_password_is_in_the_package_even_where_it_is_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("GENATTR_METADATA_PASSWORD", "not-in-any-file")
    path = tmp_path / "pipeline.yaml"
    compile_package(validate_config(values(), "test"), path)
    assert "not-in-any-file" not in path.read_text()


def test_the_package_of_a_configuration_is_the_same_each_time(written, tmp_path):
    compile_package(validate_config(values(), "test"), tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_text() == written[0].read_text()


@pytest.mark.e2e
def test_a_hundred_generators_make_a_package_that_argo_can_hold(tmp_path):
    """Each head adds as much as the one before. (To compile a hundred takes minutes: that grows by the square.)"""

    def size(heads):
        path = tmp_path / f"{heads}.yaml"
        sources = ["sngan_celeba", *(f"gan{number}_celeba" for number in range(heads - 1))]
        compile_package(validate_config(values(sources=sources), "test"), path)
        return len(json.dumps(list(yaml.safe_load_all(path.read_text()))).encode())

    few, more, most = size(10), size(15), size(20)
    a_head = (most - more) / 5
    assert a_head == pytest.approx((more - few) / 5, rel=0.05)
    assert most + 80 * a_head * 1.05 < 1_000_000


REFUSED = {
    "a metadata store in a file": ({"metadata": {}}, "metadata.kind: must be 'mysql' on a cluster"),
    "a dataset beside the volume": ({"data": {"dataset": "data/ganfp"}}, "data.dataset: must lie below"),
    "a way out of the volume": ({"output_root": f"{MOUNT}/../runs"}, "output_root: must lie below"),
    "a warm start beside the volume": ({"warm_start": "/elsewhere"}, "warm_start: must lie below"),
    "a given model, whose heads are not known here": ({"primary": {"model": "faces"}}, "primary.model: must be none"),
    "resources of no node": ({"kubeflow": {"nodes": {"Trainer": {"cpu": "2"}}}}, "kubeflow.nodes.Trainer: is no node"),
    "resources of no head": (
        {"kubeflow": {"nodes": {"SecondaryTrainer.x": {"cpu": "2"}}}},
        "kubeflow.nodes.SecondaryTrainer.x: is no node",
    ),
    "Beam options of a node without Beam": (
        {"beam_pipeline_args_of": {"Pusher": ["--runner=FnApiRunner"]}},
        "beam_pipeline_args_of.Pusher: is no node",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_on_a_cluster_is_refused_before_anything_is_written(case, tmp_path):
    changed, message = REFUSED[case]
    with pytest.raises(ConfigurationError, match="^" + message):
        compile_package(validate_config(values(**changed), "test"), tmp_path / "pipeline.yaml")
    assert list(tmp_path.iterdir()) == []


BAD = {
    "an image without a tag": ({"image": "generator-attribution"}, "kubeflow.image: must end with a tag"),
    "an image that moves": ({"image": "generator-attribution:latest"}, "kubeflow.image: must end with a tag"),
    "a relative mount": ({"volume_mount": "mnt"}, "kubeflow.volume_mount: must be an absolute folder"),
    "root": ({"user": 0}, "kubeflow.user: must be greater than or equal to 1"),
    "memory in words": ({"resources": {"memory": "much"}}, "kubeflow.resources.memory"),
    "a value that is compared with nothing": (
        {"resources": {"tolerations": [{"key": "gpu", "value": "yes"}]}},
        "kubeflow.resources.tolerations.0: value: must be given with operator 'Equal'",
    ),
    "an unknown key of a node": (
        {"nodes": {"Pusher": {"gpu": 1}}},
        "kubeflow.nodes.Pusher.gpu: is not a key, got 1. Remove it, or correct its spelling; keys here: cpu, cpu_limit",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_cluster_parameters_are_named(case):
    changed, message = BAD[case]
    with pytest.raises(ConfigurationError) as caught:
        validate_config(values(kubeflow=changed), "test")
    assert f"test: {message}" in str(caught.value)


@pytest.mark.parametrize("image", ["a/b:1.0", "host:5000/a:v2_x", "a@sha256:" + "0" * 64])
def test_pinned_images_are_taken(image):
    assert validate_config(values(kubeflow={"image": image}), "test").kubeflow.image == image


def test_names_are_made_fit_for_kubeflow():
    assert [kfp_name(name) for name in ("Gan_fp", "a..b", "x-1_")] == ["gan-fp", "a-b", "x-1"]
