"""Single runs on an API server of Kubeflow Pipelines, by the real `kfp.Client`."""

import json
import re
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.kubeflow import submissions
from pipeline.kubeflow.client import ClusterError, connect
from pipeline.kubeflow.connection import Connection
from pipeline.kubeflow.packages import read_package
from tests.support import kfp_api
from tests.support.kfp_api import Fault
from tests.support.kfp_schema import RefusedError


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return read_package(kfp_api.compile_tiny(tmp_path_factory.mktemp("package") / "pipeline.yaml"))


@pytest.fixture
def api():
    with kfp_api.serving() as server:
        yield server


@pytest.fixture
def cluster(api):
    return connect(Connection(api.address))


REQUEST = submissions.RunRequest("faces", "faces", "generator-attribution:0.1.0", "generator-attribution-pipeline")


def only(items):
    (item,) = items.values()
    return item


def test_a_run_is_made_of_the_package_and_nothing_is_uploaded(api, cluster, package):
    submitted = submissions.submit(cluster, package, replace(REQUEST, span=7))
    run = only(api.runs)
    assert run["runtime_config"]["parameters"] == {"span": "7", "image": "generator-attribution:0.1.0"}
    assert run["service_account"] == "generator-attribution-pipeline"
    assert run["experiment_id"] == only(api.experiments)["experiment_id"]
    assert api.pipelines == api.pipeline_versions == {}
    assert (submitted.run_id, submitted.made, submitted.state) == (run["run_id"], True, "PENDING")
    assert submitted.link == f"{api.address}/#/runs/details/{run['run_id']}"
    assert re.fullmatch(r"faces-\d{8}T\d{6}Z", submitted.name)
    started = datetime.strptime(submitted.name, "faces-%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - started).total_seconds()) < 60


def test_kubeflows_cache_is_off_in_every_group_of_tasks(api, cluster, package):
    submissions.submit(cluster, package, REQUEST)
    spec = only(api.runs)["pipeline_spec"]
    groups = [spec["root"], *(part for part in spec["components"].values() if "dag" in part)]
    assert len(groups) == 2
    for group in groups:
        assert all(task["cachingOptions"] == {} for task in group["dag"]["tasks"].values())


def test_without_a_span_the_run_takes_the_configured_or_newest(api, cluster, package):
    submissions.submit(cluster, package, REQUEST)
    assert only(api.runs)["runtime_config"]["parameters"]["span"] == ""


def test_a_platform_spec_goes_with_the_run(api, cluster, tmp_path):
    from kfp import compiler, dsl, kubernetes

    @dsl.container_component
    def say(span: str, image: str):
        return dsl.ContainerSpec(image="busybox:1.36", command=["echo", span, image])

    @dsl.pipeline(name="mounted")
    def mounted(span: str = "", image: str = ""):
        kubernetes.mount_pvc(say(span=span, image=image), pvc_name="generator-attribution", mount_path="/mnt/data")

    compiler.Compiler().compile(mounted, str(tmp_path / "pipeline.yaml"))
    submissions.submit(cluster, read_package(tmp_path / "pipeline.yaml"), REQUEST)
    sent = only(api.runs)["pipeline_spec"]
    assert sorted(sent) == ["pipeline_spec", "platform_spec"]
    assert "generator-attribution" in json.dumps(sent["platform_spec"])


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUCCEEDED", "PAUSED"])
def test_a_run_of_the_same_name_is_taken_instead_of_another(api, cluster, package, state):
    request = replace(REQUEST, run_name="nightly 50%+")
    first = submissions.submit(cluster, package, request)
    only(api.runs)["state"] = state
    again = submissions.submit(cluster, package, request)
    assert (again.run_id, again.made, again.state) == (first.run_id, False, state)
    assert len(api.runs) == 1


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "CANCELING"])
def test_a_run_of_the_same_name_that_failed_is_made_again(api, cluster, package, state):
    request = replace(REQUEST, run_name="nightly")
    first = submissions.submit(cluster, package, request)
    only(api.runs)["state"] = state
    again = submissions.submit(cluster, package, request)
    assert again.made and again.run_id != first.run_id and len(api.runs) == 2


def test_the_same_name_in_another_experiment_is_another_run(api, cluster, package):
    for experiment in ("faces", "cats"):
        assert submissions.submit(cluster, package, replace(REQUEST, run_name="one", experiment=experiment)).made
    assert len(api.runs) == len(api.experiments) == 2


def test_a_lost_answer_names_the_run_and_the_next_call_finds_it(api, cluster, package):
    api.faults.append(Fault("POST .*/runs$", "lose the answer"))
    with pytest.raises(ClusterError) as raised:
        submissions.submit(cluster, package, REQUEST)
    name = re.search(r"name it by `run_name`: (\S+)\.$", str(raised.value))[1]
    found = submissions.submit(cluster, package, replace(REQUEST, run_name=name))
    assert not found.made and len(api.runs) == 1


def test_two_submissions_of_one_name_at_the_same_time_leave_one_run(api, package):
    moments = iter([datetime(2027, 1, 1, 0, 0, second, tzinfo=UTC) for second in range(60)])
    api.clock = lambda: next(moments)
    barrier, waiting, found = threading.Barrier(2), [2], []

    def before(request):
        if (request.method, request.path) == ("POST", "/apis/v2beta1/runs") and waiting[0]:
            waiting[0] -= 1
            barrier.wait(timeout=10)

    def call():
        request = replace(REQUEST, run_name="nightly")
        found.append(submissions.submit(connect(Connection(api.address)), package, request))

    api.before = before
    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(api.asked("POST", "/runs$")) == 2
    assert [submitted.run_id for submitted in found] == [only(api.runs)["run_id"]] * 2
    assert sorted(submitted.made for submitted in found) == [False, True]


def waited(api, cluster, package, states, **last):
    """Submits, and waits while the run goes through states; returns how it ended, and what was watched."""
    remaining, watched, slept = iter(states), [], []

    def advance(run):
        run["state"] = next(remaining)
        if run["state"] in ("FAILED", "SUCCEEDED", "CANCELED"):
            run.update(last)

    api.on_get_run = advance
    run_id = submissions.submit(cluster, package, REQUEST).run_id
    ended = submissions.wait_for(cluster, run_id, lambda *seen: watched.append(seen), sleep=slept.append)
    return ended, watched, slept


def task(name, state, message="", parent="", **values):
    error = {"error": {"code": 2, "message": message}} if message else {}
    identifier = {"task_id": f"id-{name}", "display_name": name, "state": state}
    return {**identifier, **({"parent_task_id": parent} if parent else {}), **error, **values}


def test_waiting_ends_when_the_run_has_succeeded(api, cluster, package):
    tasks = [task("plan", "SUCCEEDED"), task("report", "SKIPPED")]
    ended, watched, slept = waited(
        api, cluster, package, ["PENDING", "RUNNING", "SUCCEEDED"], run_details={"task_details": tasks}
    )
    assert ended.succeeded and ended.to_dict() == {"state": "SUCCEEDED", "message": "", "failed": []}
    assert watched == [(0, 0, "pending"), (0, 0, "running"), (2, 2, "succeeded")]
    assert slept == [10.0, 10.0]


def test_waiting_tells_which_tasks_failed_and_why_but_not_what_holds_them(api, cluster, package):
    history = [{"state": "RUNNING"}, {"state": "FAILED", "error": {"message": "OOMKilled\n(exit code 137)"}}]
    tasks = [
        task("nodes", "FAILED", "child failed"),
        task("plan", "SUCCEEDED", parent="id-nodes"),
        task("Transform", "FAILED", "exit code 1", parent="id-nodes"),
        task("PrimaryTrainer", "FAILED", parent="id-nodes", state_history=history),
        task("Pusher", "SKIPPED", parent="id-nodes"),
        task("report", "FAILED"),
    ]
    last = {"run_details": {"task_details": tasks}, "error": {"code": 2, "message": "task Transform failed"}}
    ended, _, _ = waited(api, cluster, package, ["RUNNING", "FAILED"], **last)
    assert not ended.succeeded
    assert (ended.state, ended.message) == ("FAILED", "task Transform failed")
    assert [(failed.name, failed.message) for failed in ended.failed] == [
        ("Transform", "exit code 1"),
        ("PrimaryTrainer", "OOMKilled (exit code 137)"),
        ("report", ""),
    ]
    assert json.loads(json.dumps(ended.to_dict()))["failed"][0] == {"name": "Transform", "message": "exit code 1"}


def test_a_cancelled_run_ends_the_waiting_too(api, cluster, package):
    ended, _, _ = waited(api, cluster, package, ["RUNNING", "CANCELING", "CANCELED"])
    assert (ended.state, ended.succeeded) == ("CANCELED", False)


def test_waiting_puts_up_with_a_server_that_restarts(api, cluster, package):
    api.faults.append(Fault("GET .*/runs/", 503, times=3))
    ended, watched, slept = waited(api, cluster, package, ["SUCCEEDED"])
    assert ended.succeeded and len(slept) == 3 and len(watched) == 1


def test_waiting_counts_the_silence_from_the_last_answer(api, cluster, package):
    states = iter([*[503] * 20, "RUNNING", *[503] * 20, "SUCCEEDED"])  # 200 s each; five minutes are too long

    def advance(run):
        state = next(states)
        if state == 503:
            raise RefusedError(503, "starting")
        run["state"] = state

    api.on_get_run = advance
    run_id = submissions.submit(cluster, package, REQUEST).run_id
    ended = submissions.wait_for(cluster, run_id, lambda *seen: None, sleep=lambda seconds: None)
    assert ended.succeeded


def test_waiting_ends_when_the_server_stays_away(api, cluster, package):
    api.faults.append(Fault("GET .*/runs/", 503, times=1000))
    with pytest.raises(ClusterError, match=r"503: told to fail\)\. Call again later"):
        waited(api, cluster, package, [])
    assert 30 <= len(api.asked("GET", "/runs/")) < 40  # five minutes, every 10 s


def test_waiting_ends_when_the_run_is_deleted(api, cluster, package):
    run_id = submissions.submit(cluster, package, REQUEST).run_id
    api.runs.clear()
    with pytest.raises(ClusterError, match="is gone while it was waited for"):
        submissions.wait_for(cluster, run_id, lambda *seen: None, sleep=lambda seconds: None)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"span": -1}, r"span: must be at least 0, got -1\. Name"),
        ({"run_name": ""}, r"run_name: must be 1 to 255 .* got ''"),
        ({"run_name": "a" * 256}, r"run_name: must be 1 to 255"),
        ({"experiment": " a"}, r"experiment: .* without spaces at the ends, got ' a'"),
        ({"image": "a\nb"}, r"image: .*printable"),
    ],
)
def test_a_wrong_request_is_refused_by_the_options_name(values, problem):
    with pytest.raises(ValueError, match=problem):
        replace(REQUEST, **values)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it holds 0 documents"),
        ("a: [", "while parsing"),
        ("hello", "must be a package"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "must be a package"),
        ("root: {}\n---\na: 1\n", "must be a package"),
        ("{}\n", "it holds 0 documents"),
    ],
)
def test_what_is_no_package_is_refused_by_its_name(tmp_path, text, problem):
    (tmp_path / "pipeline.yaml").write_text(text)
    with pytest.raises(
        ValueError, match=r"pipeline\.yaml: must be a package of Kubeflow Pipelines 2: .*genattr compile"
    ):
        read_package(tmp_path / "pipeline.yaml")
    with pytest.raises(ValueError, match=problem):
        read_package(tmp_path / "pipeline.yaml")


def test_the_digest_knows_the_content_alone(tmp_path, package):
    import yaml

    text = yaml.safe_dump_all(package.documents, sort_keys=True)
    (tmp_path / "sorted.yaml").write_text("# another comment\n" + text)
    (tmp_path / "other.yaml").write_text(text.replace("busybox:1.36", "busybox:1.37"))
    assert read_package(tmp_path / "sorted.yaml").digest == package.digest
    assert read_package(tmp_path / "other.yaml").digest != package.digest
