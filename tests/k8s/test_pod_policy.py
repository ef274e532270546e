"""Every pod keeps every rule, and every rule sees a manifest that breaks it."""

import pytest

from tests.support import pod_policy
from tests.support.kustomize_builds import BUILDS, JOB_NAMES, documents, named, pods

SERVING = ("Deployment", "generator-attribution-serving")
STORE = ("StatefulSet", "metadata-store")


@pytest.mark.parametrize("rule", pod_policy.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_every_pod(build, rule):
    objects = documents(build)
    assert list(pods(objects)), "no pods: the rule would see nothing"
    assert rule(objects) == []


def spec_of(objects, kind, name):
    return named(objects, kind, name)["spec"]["template"]["spec"]


def first(objects, kind=SERVING[0], name=SERVING[1]):
    return spec_of(objects, kind, name)["containers"][0]


def break_user(objects):
    del spec_of(objects, *SERVING)["securityContext"]["runAsUser"]


def break_root_of_an_init_container(objects):
    spec_of(objects, *SERVING)["initContainers"][0]["securityContext"]["runAsUser"] = 0


def break_escalation(objects):
    del first(objects)["securityContext"]["allowPrivilegeEscalation"]


def break_capabilities(objects):
    first(objects)["securityContext"]["capabilities"]["add"] = ["NET_RAW"]


def break_root_file_system(objects):
    first(objects, *STORE)["securityContext"]["readOnlyRootFilesystem"] = False


def break_seccomp(objects):
    spec_of(objects, *STORE)["securityContext"]["seccompProfile"]["type"] = "Unconfined"


def break_host_path(objects):
    spec_of(objects, *SERVING)["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def break_host_port(objects):
    first(objects)["ports"][0]["hostPort"] = 8500


def break_limit(objects):
    del first(objects)["resources"]["limits"]["memory"]


def break_probe(objects):
    del first(objects)["startupProbe"]


def break_deadline(objects):
    del named(objects, "CronJob", "metadata-backup")["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]


def break_tag(objects):
    first(objects)["image"] = "registry.example.org:5000/tensorflow/serving"


def break_tag_that_moves(objects):
    first(objects)["image"] = "tensorflow/serving:latest"


def break_secret_object(objects):
    objects.append({"kind": "Secret", "metadata": {"name": "x", "labels": {}}, "stringData": {"password": "x"}})


def break_secret_variable(objects):
    first(objects, *STORE)["env"].append({"name": "MARIADB_ROOT_PASSWORD", "value": "hunter2"})


def break_secret_argument(objects):
    first(objects, *STORE)["args"].append("--password=hunter2")


def break_token(objects):
    spec_of(objects, *SERVING)["automountServiceAccountToken"] = True


def break_account(objects):
    del spec_of(objects, *SERVING)["serviceAccountName"]


def break_labels_of_pods(objects):
    del named(objects, *SERVING)["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (break_user, pod_policy.runs_as_a_numeric_user_that_is_not_root),
        (break_root_of_an_init_container, pod_policy.runs_as_a_numeric_user_that_is_not_root),
        (break_escalation, pod_policy.cannot_gain_privileges),
        (break_capabilities, pod_policy.drops_all_capabilities),
        (break_root_file_system, pod_policy.has_a_read_only_root),
        (break_seccomp, pod_policy.has_the_default_seccomp_profile),
        (break_host_path, pod_policy.shares_nothing_with_its_node),
        (break_host_port, pod_policy.shares_nothing_with_its_node),
        (break_limit, pod_policy.states_what_it_needs_and_may_use),
        (break_probe, pod_policy.is_probed_if_it_runs_for_long),
        (break_deadline, pod_policy.ends_at_some_time_if_it_does_not),
        (break_tag, pod_policy.has_an_image_that_does_not_move),
        (break_tag_that_moves, pod_policy.has_an_image_that_does_not_move),
        (break_secret_object, pod_policy.carries_no_secret_in_plain_text),
        (break_secret_variable, pod_policy.carries_no_secret_in_plain_text),
        (break_secret_argument, pod_policy.carries_no_secret_in_plain_text),
        (break_token, pod_policy.mounts_no_token),
        (break_account, pod_policy.has_an_account_of_its_own),
        (break_labels_of_pods, pod_policy.carries_the_usual_labels),
    ],
    ids=lambda value: value.__name__,
)
def test_a_broken_manifest_breaks_its_rule_and_no_other(damage, rule):
    objects = documents(("gpu",))
    damage(objects)
    broken = [each for each in pod_policy.RULES if each(objects)]
    assert rule in broken
    # A Secret object without labels is the one damage that two rules see.
    assert set(broken) <= {rule, pod_policy.carries_the_usual_labels}


def test_every_rule_is_broken_by_some_damage():
    (marks,) = [mark for mark in test_a_broken_manifest_breaks_its_rule_and_no_other.pytestmark if mark.args]
    assert {rule for _, rule in marks.args[1]} == set(pod_policy.RULES)


def test_the_pipelines_account_alone_has_a_token():
    accounts = [each for each in documents(("gpu",)) if each["kind"] == "ServiceAccount"]
    with_token = [each["metadata"]["name"] for each in accounts if each["automountServiceAccountToken"] is not False]
    assert with_token == ["generator-attribution-pipeline"]


def test_the_pipelines_role_names_what_it_reads_and_can_neither_make_pods_nor_read_all_secrets():
    (role,) = [each for each in documents(("gpu",)) if each["kind"] == "Role"]
    for rule in role["rules"]:
        assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
        if "pods" in rule["resources"]:
            assert not {"create", "delete"} & set(rule["verbs"])
        if {"secrets", "configmaps"} & set(rule["resources"]):
            assert rule["resourceNames"]


def test_the_namespace_enforces_baseline_and_reports_what_is_not_restricted():
    labels = named(documents(("gpu",)), "Namespace", "generator-attribution")["metadata"]["labels"]
    levels = {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "warn", "audit")}
    assert levels == {"enforce": "baseline", "warn": "restricted", "audit": "restricted"}
