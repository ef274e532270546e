"""Recurring runs on an API server of Kubeflow Pipelines, by the real `kfp.Client`."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.kubeflow import schedules
from pipeline.kubeflow.client import ClusterError, connect
from pipeline.kubeflow.connection import Connection
from pipeline.kubeflow.cron import parse_cron
from pipeline.kubeflow.packages import read_package
from tests.support import kfp_api
from tests.support.kfp_api import Fault

NAME = "faces"
START = datetime(2027, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    return [read_package(kfp_api.compile_tiny(folder / f"{words}.yaml", words)) for words in ("one", "two")]


@pytest.fixture
def api():
    with kfp_api.serving() as server:
        moments = (START + timedelta(seconds=number) for number in range(10_000))
        server.clock = lambda: next(moments)
        yield server


@pytest.fixture
def cluster(api):
    return connect(Connection(api.address))


def wanted(cron="0 2 * * *", image="generator-attribution:0.1.0"):
    return schedules.ScheduleRequest(NAME, NAME, parse_cron(cron), image, "generator-attribution-pipeline")


def made(api):
    return api.asked("POST", "/recurringruns$")


def only(api):
    (run,) = api.recurring_runs.values()
    return run


def test_a_schedule_is_made_as_kubeflow_should_keep_it(api, cluster, packages):
    outcome = schedules.schedule(cluster, packages[0], wanted())
    run = only(api)
    assert (outcome.action, outcome.removed) == ("created", ())
    assert run["trigger"] == {"cron_schedule": {"cron": "0 0 2 * * *"}}
    assert (run["max_concurrency"], run["no_catchup"], run["status"]) == ("1", True, "ENABLED")
    assert run["service_account"] == "generator-attribution-pipeline"
    assert run["runtime_config"]["parameters"] == {"span": "", "image": "generator-attribution:0.1.0"}
    assert [item["display_name"] for item in api.experiments.values()] == [NAME]
    assert outcome.run.words == "every day at 02:00 UTC"
    assert [moment.hour for moment in outcome.run.upcoming] == [2, 2, 2]


def test_the_package_is_pinned_as_a_version_named_by_its_digest_without_kubeflows_cache(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    (version,) = api.pipeline_versions.values()
    (pipeline,) = api.pipelines.values()
    assert pipeline["display_name"] == NAME
    assert version["display_name"] == f"sha256-{packages[0].digest[:16]}"
    assert only(api)["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    spec = version["pipeline_spec"]
    groups = [spec["root"], *(part for part in spec["components"].values() if "dag" in part)]
    tasks = [task for group in groups for task in group["dag"]["tasks"].values()]
    assert len(tasks) == 3 and all(task["cachingOptions"] == {} for task in tasks)


@pytest.mark.parametrize("how", ["lose the answer", 409, 500])
def test_a_version_that_somebody_uploads_at_the_same_time_is_taken(api, cluster, packages, how):
    """Older releases answer a second version of the same name by 500."""
    schedules.schedule(cluster, packages[0], wanted())
    version = only_version(api)
    schedules.delete(cluster, NAME, NAME)
    api.faults.append(Fault("POST .*/upload_version", how))
    api.pipeline_versions.clear()

    def before(request):
        if request.path.endswith("/upload_version") and how != "lose the answer":
            api.pipeline_versions[version["pipeline_version_id"]] = version

    api.before = before
    assert schedules.schedule(cluster, packages[0], wanted()).action == "created"
    reference = only(api)["pipeline_version_reference"]
    assert reference["pipeline_version_id"] == only_version(api)["pipeline_version_id"]


def only_version(api):
    (version,) = api.pipeline_versions.values()
    return version


def test_a_release_that_knows_no_names_of_objects_is_sent_none(api, packages):
    api.old = True
    assert schedules.schedule(connect(Connection(api.address)), packages[0], wanted()).action == "created"


def test_an_upload_that_is_refused_is_told_with_its_reason(api, cluster, packages):
    api.faults.append(Fault("POST .*/upload_version", 400))
    with pytest.raises(
        ClusterError, match=r"refused uploading version sha256-\w+ of pipeline 'faces' \(400: told to fail"
    ):
        schedules.schedule(cluster, packages[0], wanted())
    assert api.recurring_runs == {}


def test_the_same_schedule_again_changes_nothing(api, cluster, packages):
    first = schedules.schedule(cluster, packages[0], wanted())
    changes = len(api.asked("POST"))
    again = schedules.schedule(cluster, packages[0], wanted("0 0 2 ? * *"))  # means the same
    assert again.action == "unchanged"
    assert again.run.run_id == first.run.run_id
    assert len(api.asked("POST")) == changes and not api.asked("DELETE")


@pytest.mark.parametrize("what", ["cron", "package", "image"])
def test_another_schedule_replaces_the_first_and_two_are_never_enabled(api, cluster, packages, what):
    first = schedules.schedule(cluster, packages[0], wanted())
    request = wanted(**{"cron": {"cron": "0 4 * * *"}, "image": {"image": "other:0.2.0"}}.get(what, {}))
    outcome = schedules.schedule(cluster, packages[1 if what == "package" else 0], request)
    assert (outcome.action, outcome.removed) == ("replaced", (first.run.run_id,))
    assert only(api)["recurring_run_id"] == outcome.run.run_id != first.run.run_id
    assert only(api)["status"] == "ENABLED"
    assert api.most_enabled == 1
    assert len(api.pipeline_versions) == (2 if what == "package" else 1)


def test_the_new_one_is_there_before_the_old_one_is_paused(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    api.requests.clear()
    schedules.schedule(cluster, packages[0], wanted("0 4 * * *"))
    changes = [request for request in api.requests if request.method != "GET"]
    assert [(change.method, change.path.rpartition(":")[2].rpartition("/")[2][:7]) for change in changes][:3] == [
        ("POST", "recurri"),
        ("POST", "disable"),
        ("POST", "enable"),
    ]
    assert changes[0].body["mode"] == "DISABLE"
    assert changes[3].method == "DELETE" and len(changes) == 4


def test_a_run_in_progress_survives_its_schedules_replacement(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    (run,) = api.tick()
    schedules.schedule(cluster, packages[0], wanted("0 4 * * *"))
    assert (run["state"], api.orphaned) == ("RUNNING", [run["run_id"]])


def test_one_run_at_a_time(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    (run,) = api.tick()
    assert api.tick() == []
    run["state"] = "SUCCEEDED"
    assert len(api.tick()) == 1


STEPS = ["POST /apis/v2beta1/recurringruns$", ":disable", ":enable", "DELETE "]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["lose the answer", "hang up", 500])
@pytest.mark.parametrize("then", ["the same", "the first", "a third"])
def test_a_replacement_that_broke_off_is_completed_by_the_next_call(api, cluster, packages, step, how, then):
    schedules.schedule(cluster, packages[0], wanted())
    api.faults.append(Fault(step, how))
    with_retries = step == "DELETE " and how != 500  # urllib3 repeats what may be repeated
    if with_retries:
        schedules.schedule(cluster, packages[0], wanted("0 4 * * *"))
    else:
        with pytest.raises(ClusterError):
            schedules.schedule(cluster, packages[0], wanted("0 4 * * *"))
    cron = {"the same": "0 4 * * *", "the first": "0 2 * * *", "a third": "0 6 * * *"}[then]
    schedules.schedule(cluster, packages[0], wanted(cron))
    run = only(api)
    assert run["trigger"]["cron_schedule"]["cron"] == parse_cron(cron).expression
    assert run["status"] == "ENABLED"
    assert api.most_enabled == 1


def test_a_lost_answer_to_the_first_call_makes_no_second_schedule(api, cluster, packages):
    api.faults.append(Fault(STEPS[0], "lose the answer"))
    with pytest.raises(ClusterError, match=r"may be done or not\. Call again"):
        schedules.schedule(cluster, packages[0], wanted())
    assert schedules.schedule(cluster, packages[0], wanted()).action == "unchanged"
    assert only(api)["status"] == "ENABLED"


def test_pause_and_resume(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    actions = []
    for change in (schedules.pause, schedules.pause, schedules.resume, schedules.resume):
        outcome = change(cluster, NAME, NAME)
        actions.append((outcome.action, outcome.run.state, only(api)["status"]))
    assert actions == [
        ("paused", "paused", "DISABLED"),
        ("unchanged", "paused", "DISABLED"),
        ("resumed", "enabled", "ENABLED"),
        ("unchanged", "enabled", "ENABLED"),
    ]


def test_a_paused_schedule_stays_paused_when_it_is_replaced(api, cluster, packages):
    schedules.schedule(cluster, packages[0], wanted())
    schedules.pause(cluster, NAME, NAME)
    assert schedules.schedule(cluster, packages[0], wanted()).run.state == "paused"
    outcome = schedules.schedule(cluster, packages[1], wanted("0 4 * * *"))
    assert (outcome.action, outcome.run.state, outcome.run.upcoming) == ("replaced", "paused", ())
    assert only(api)["status"] == "DISABLED"


@pytest.mark.parametrize(
    ("change", "status"), [(schedules.pause, "DISABLED"), (schedules.resume, "ENABLED")], ids=["pause", "resume"]
)
def test_pausing_and_resuming_complete_what_broke_off(api, cluster, packages, change, status):
    schedules.schedule(cluster, packages[0], wanted())
    api.faults.append(Fault(":enable", 500))
    with pytest.raises(ClusterError):
        schedules.schedule(cluster, packages[0], wanted("0 4 * * *"))
    assert len(api.recurring_runs) == 2
    change(cluster, NAME, NAME)
    assert only(api)["status"] == status
    assert only(api)["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    # What broke off, and was then paused by people, stays paused.
    assert (
        schedules.schedule(cluster, packages[0], wanted("0 4 * * *")).run.state == change(cluster, NAME, NAME).run.state
    )
    assert only(api)["status"] == status


def test_delete_is_done_once_and_keeps_the_versions(api, cluster, packages):
    outcome = schedules.schedule(cluster, packages[0], wanted())
    other = api.add_recurring_run("other", next(iter(api.experiments)))
    deleted = schedules.delete(cluster, NAME, NAME)
    assert (deleted.action, deleted.run, deleted.removed) == ("deleted", None, (outcome.run.run_id,))
    assert schedules.delete(cluster, NAME, NAME).action == "unchanged"
    assert only(api) is other and len(api.pipeline_versions) == 1


@pytest.mark.parametrize("change", [schedules.pause, schedules.resume], ids=["pause", "resume"])
def test_what_is_not_scheduled_is_told_with_what_is(api, cluster, packages, change):
    with pytest.raises(
        ClusterError, match=r"faces: has no recurring run in experiment 'faces'; .*there: none\. Make it"
    ):
        change(cluster, NAME, NAME)
    assert api.experiments == {}
    schedules.schedule(cluster, packages[0], wanted())
    with pytest.raises(ClusterError, match=r"dogs: has no recurring run .* there: faces\."):
        change(cluster, NAME, "dogs")


def test_everything_is_found_on_more_pages_than_one(api, cluster, packages):
    experiment = cluster.experiment(NAME, create=True)
    for number in range(230):
        api.add_recurring_run(f"other-{number:03}", experiment)
    schedules.schedule(cluster, packages[0], wanted())
    runs = schedules.recurring_runs_in(cluster, NAME)
    assert [run.name for run in runs] == [NAME, *(f"other-{number:03}" for number in range(230))]
    assert schedules.schedule(cluster, packages[0], wanted()).action == "unchanged"
    assert schedules.recurring_runs_in(cluster, "nothing") == []


def test_names_with_signs_of_addresses_and_of_filters_are_found_again(api, cluster, packages):
    for name in ('50% + "more" & ü', "a+b", "a b"):
        request = schedules.ScheduleRequest(name, name, parse_cron("@daily"), "image:1", "account")
        assert schedules.schedule(cluster, packages[0], request).action == "created"
        assert schedules.schedule(cluster, packages[0], request).action == "unchanged"
    assert len(api.recurring_runs) == len(api.experiments) == len(api.pipelines) == 3


def test_other_peoples_recurring_runs_are_told_too(api, cluster):
    experiment = cluster.experiment(NAME, create=True)
    api.add_recurring_run("a", experiment, trigger={"periodic_schedule": {"interval_second": "3600"}})
    api.add_recurring_run("b", experiment, trigger={"cron_schedule": {"cron": "@every 6h"}})
    api.add_recurring_run("c", experiment, trigger={"cron_schedule": {"cron": "0 2 * * *"}}, status="DISABLED")
    told = [(run.name, run.words, len(run.upcoming)) for run in schedules.recurring_runs_in(cluster, NAME)]
    assert told == [("a", "every 3600 seconds", 0), ("b", None, 0), ("c", "at minute 2 of every hour (UTC)", 0)]


def at_once(api, calls, pattern):
    """Runs calls side by side; each waits at the first request that matches until all have come so far."""
    barrier, results, seen = threading.Barrier(len(calls)), {}, set()
    first = threading.local()

    def before(request):
        if f"{request.method} {request.path}".endswith(pattern) and len(seen) < len(calls):
            seen.add(id(request))
            barrier.wait(timeout=10)

    def run(number, call):
        first.number = number
        try:
            results[number] = call()
        except ClusterError as error:
            results[number] = error

    api.before = before
    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return [results[number] for number in range(len(calls))]


@pytest.mark.parametrize("pattern", ["POST /apis/v2beta1/experiments", "POST /apis/v2beta1/pipelines"])
@pytest.mark.parametrize("crons", [("0 2 * * *", "0 2 * * *"), ("0 2 * * *", "0 4 * * *")], ids=["same", "different"])
def test_two_first_calls_at_the_same_time_leave_one_schedule(api, packages, pattern, crons):
    def call(cron):
        return lambda: schedules.schedule(connect(Connection(api.address)), packages[0], wanted(cron))

    results = at_once(api, [call(cron) for cron in crons], pattern)
    assert len(api.experiments) == len(api.pipelines) == len(api.pipeline_versions) == 1
    assert only(api)["status"] == "ENABLED"
    assert only(api)["trigger"]["cron_schedule"]["cron"] in [parse_cron(cron).expression for cron in crons]
    if len(set(crons)) == 1:
        assert [result.run.run_id for result in results] == [only(api)["recurring_run_id"]] * 2


@pytest.mark.parametrize("crons", [("0 4 * * *", "0 4 * * *"), ("0 4 * * *", "0 6 * * *")], ids=["same", "different"])
@pytest.mark.parametrize("clock", ["ticking", "standing"])
def test_two_replacements_at_the_same_time_leave_one_schedule(api, cluster, packages, crons, clock):
    schedules.schedule(cluster, packages[0], wanted())
    if clock == "standing":
        api.clock = lambda: START  # created in the same second
    before = len(made(api))

    def call(cron):
        return lambda: schedules.schedule(connect(Connection(api.address)), packages[0], wanted(cron))

    results = at_once(api, [call(cron) for cron in crons], "POST /apis/v2beta1/recurringruns")
    assert len(made(api)) == before + 2
    assert only(api)["status"] == "ENABLED"
    assert only(api)["trigger"]["cron_schedule"]["cron"] in [parse_cron(cron).expression for cron in crons]
    if len(set(crons)) == 1:
        assert [result.run.run_id for result in results] == [only(api)["recurring_run_id"]] * 2
    else:
        refused = [result for result in results if isinstance(result, ClusterError)]
        assert all("somebody else schedules it at the same time" in str(error) for error in refused)
        assert len(refused) <= 1


def test_an_archived_experiment_is_refused_before_anything_is_uploaded(api, cluster, packages):
    cluster.experiment(NAME, create=True)
    next(iter(api.experiments.values()))["storage_state"] = "ARCHIVED"
    with pytest.raises(ClusterError, match=r"must not be archived.*Restore it"):
        schedules.schedule(cluster, packages[0], wanted())
    assert api.pipelines == {}


def test_a_package_without_our_parameters_is_refused_before_anything_is_made(api, cluster, packages):
    package = read_package_without(packages[0], "image")
    with pytest.raises(ValueError, match=r"has no runtime parameter 'image'; it has: span\. Compile"):
        schedules.schedule(cluster, package, wanted())
    assert not api.asked("POST")


def read_package_without(package, parameter):
    from dataclasses import replace

    return replace(package, parameters=tuple(name for name in package.parameters if name != parameter))


def test_an_outcome_is_plain_json(api, cluster, packages):
    values = json.loads(json.dumps(schedules.schedule(cluster, packages[0], wanted()).to_dict()))
    run = values["recurring_run"]
    assert (values["action"], values["name"], values["removed"]) == ("created", NAME, [])
    assert (run["cron"], run["words"], run["state"]) == ("0 0 2 * * *", "every day at 02:00 UTC", "enabled")
    assert [datetime.fromisoformat(moment).tzinfo for moment in run["upcoming"]] == [UTC] * 3
    assert run["link"] == f"{api.address}/#/recurringrun/details/{run['run_id']}"
    assert json.loads(json.dumps(schedules.delete(cluster, NAME, NAME).to_dict()))["recurring_run"] is None


def test_people_are_told_what_was_done_when_it_runs_and_where_it_stands(api, cluster, packages):
    made = schedules.schedule(cluster, packages[0], wanted())
    times = ", ".join(f"{moment:%Y-%m-%d} 02:00" for moment in made.run.upcoming)
    page = f"page       {api.address}/#/recurringrun/details/{made.run.run_id}"
    assert made.lines() == [f"created    faces: every day at 02:00 UTC; next: {times}", page]
    assert schedules.pause(cluster, NAME, NAME).lines() == [
        "paused     faces: every day at 02:00 UTC",
        "paused     nothing runs until it is resumed",
        page,
    ]
    assert schedules.delete(cluster, NAME, NAME).lines() == ["deleted    faces"]
    assert schedules.delete(cluster, NAME, NAME).lines() == ["unchanged  faces (it was not scheduled)"]
