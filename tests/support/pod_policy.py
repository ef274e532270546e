"""Rules that every pod has to keep; each returns what breaks it, in words."""

import re
from collections.abc import Callable, Iterator

from tests.support.kustomize_builds import containers, of_kind, pods, title

LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/part-of")
LONG_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")
SECRET_NAME = re.compile(r"pass|pwd|token|secret|key|credential", re.IGNORECASE)
TAG = re.compile(r"^(?P<name>[^@]+?)(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]*))?(@sha256:[0-9a-f]{64})?$")
# The volume types that the Pod Security Standard "restricted" allows:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/
VOLUME_TYPES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"} | {
    "secret"
}

Objects = list[dict]


def _containers(objects: Objects) -> Iterator[tuple[str, dict, dict]]:
    for thing, template in pods(objects):
        for each in containers(template["spec"]):
            yield f"{title(thing)}, container {each['name']}", template["spec"], each


def _setting(spec: dict, container: dict, name: str) -> object:
    """A container's own security setting, else its pod's, as Kubernetes reads them."""
    return container.get("securityContext", {}).get(name, spec.get("securityContext", {}).get(name))


def runs_as_a_numeric_user_that_is_not_root(objects: Objects) -> list[str]:
    return [
        where
        for where, spec, each in _containers(objects)
        if _setting(spec, each, "runAsNonRoot") is not True
        or not isinstance(_setting(spec, each, "runAsUser"), int)
        or _setting(spec, each, "runAsUser") == 0
        or _setting(spec, each, "runAsGroup") in (None, 0)
    ]


def cannot_gain_privileges(objects: Objects) -> list[str]:
    return [
        where
        for where, _, each in _containers(objects)
        if each.get("securityContext", {}).get("allowPrivilegeEscalation") is not False
        or each["securityContext"].get("privileged")
    ]


def drops_all_capabilities(objects: Objects) -> list[str]:
    return [
        where
        for where, _, each in _containers(objects)
        if each.get("securityContext", {}).get("capabilities") != {"drop": ["ALL"]}
    ]


def has_a_read_only_root(objects: Objects) -> list[str]:
    return [
        where
        for where, _, each in _containers(objects)
        if each.get("securityContext", {}).get("readOnlyRootFilesystem") is not True
    ]


def has_the_default_seccomp_profile(objects: Objects) -> list[str]:
    return [
        where
        for where, spec, each in _containers(objects)
        if _setting(spec, each, "seccompProfile") != {"type": "RuntimeDefault"}
    ]


def shares_nothing_with_its_node(objects: Objects) -> list[str]:
    found = []
    for thing, template in pods(objects):
        spec = template["spec"]
        found += [f"{title(thing)}: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
        for volume in spec.get("volumes", []):
            found += [f"{title(thing)}: volume {kind}" for kind in set(volume) - {"name"} - VOLUME_TYPES]
    return found + [
        f"{where}: hostPort"
        for where, _, each in _containers(objects)
        if any("hostPort" in port for port in each.get("ports", []))
    ]


def states_what_it_needs_and_may_use(objects: Objects) -> list[str]:
    return [
        f"{where}: {kind}.{name}"
        for where, _, each in _containers(objects)
        for kind in ("requests", "limits")
        for name in ("cpu", "memory")
        if name not in each.get("resources", {}).get(kind, {})
    ]


def is_probed_if_it_runs_for_long(objects: Objects) -> list[str]:
    return [
        f"{title(thing)}, container {each['name']}: {probe}"
        for thing, template in pods(of_kind(objects, *LONG_RUNNING))
        for each in template["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if probe not in each
    ]


def ends_at_some_time_if_it_does_not(objects: Objects) -> list[str]:
    found = []
    for thing in of_kind(objects, "Job", "CronJob", "Pod"):
        spec = thing["spec"]["jobTemplate"]["spec"] if thing["kind"] == "CronJob" else thing["spec"]
        found += [] if spec.get("activeDeadlineSeconds", 0) > 0 else [title(thing)]
    return found


def has_an_image_that_does_not_move(objects: Objects) -> list[str]:
    def moves(image: str) -> bool:
        match = TAG.match(image)
        return match is None or (match["tag"] in (None, "latest", "lts", "nightly") and "@sha256:" not in image)

    return [f"{where}: {each['image']}" for where, _, each in _containers(objects) if moves(each["image"])]


def carries_no_secret_in_plain_text(objects: Objects) -> list[str]:
    found = [title(each) for each in of_kind(objects, "Secret") if each.get("data") or each.get("stringData")]
    for where, _, each in _containers(objects):
        for variable in each.get("env", []):
            # The path of a file that holds it, as images take it, is no secret.
            is_path = variable["name"].endswith("_FILE") and variable.get("value", "").startswith("/")
            if SECRET_NAME.search(variable["name"]) and variable.get("value") and not is_path:
                found.append(f"{where}: {variable['name']}")
        words = [*each.get("command", []), *each.get("args", [])]
        # Also -pPASSWORD and --password=PASSWORD, which `ps` would show.
        found += [f"{where}: {word}" for word in words if re.match(r"^(--password=|-p\S)", word)]
    for each in of_kind(objects, "ConfigMap"):
        found += [f"{title(each)}: {key}" for key in each.get("data", {}) if SECRET_NAME.search(key)]
    return found


def mounts_no_token(objects: Objects) -> list[str]:
    return [
        title(thing)
        for thing, template in pods(objects)
        if template["spec"].get("automountServiceAccountToken") is not False
    ]


def has_an_account_of_its_own(objects: Objects) -> list[str]:
    return [
        title(thing)
        for thing, template in pods(objects)
        if template["spec"].get("serviceAccountName", "default") == "default"
    ]


def carries_the_usual_labels(objects: Objects) -> list[str]:
    carriers = [(title(each), each["metadata"]) for each in objects if each["kind"] != "Namespace"]
    carriers += [(f"pods of {title(thing)}", template.get("metadata", {})) for thing, template in pods(objects)]
    found = [
        f"{where}: {name}" for where, metadata in carriers for name in LABELS if name not in metadata.get("labels", {})
    ]
    return found + [
        f"{where}: part-of"
        for where, metadata in carriers
        if metadata.get("labels", {}).get(LABELS[2]) != "generator-attribution"
    ]


RULES: list[Callable[[Objects], list[str]]] = [
    runs_as_a_numeric_user_that_is_not_root,
    cannot_gain_privileges,
    drops_all_capabilities,
    has_a_read_only_root,
    has_the_default_seccomp_profile,
    shares_nothing_with_its_node,
    states_what_it_needs_and_may_use,
    is_probed_if_it_runs_for_long,
    ends_at_some_time_if_it_does_not,
    has_an_image_that_does_not_move,
    carries_no_secret_in_plain_text,
    mounts_no_token,
    has_an_account_of_its_own,
    carries_the_usual_labels,
]
