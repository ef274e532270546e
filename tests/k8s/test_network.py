"""Who may talk to whom, by Kubernetes' own rules: what no policy allows is denied once a pod is selected.

Kubernetes: https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import pytest

from tests.support.kustomize_builds import BUILDS, JOB_NAMES, documents, of_kind, pods, title

OURS = "generator-attribution"
TASK = {"workflows.argoproj.io/workflow": "generator-attribution-x7k2p"}
NAMESPACES = {
    OURS: {"kubernetes.io/metadata.name": OURS},
    "kubeflow": {"kubernetes.io/metadata.name": "kubeflow"},
    "kube-system": {"kubernetes.io/metadata.name": "kube-system"},
    "monitoring": {"kubernetes.io/metadata.name": "monitoring"},
    "shop": {"kubernetes.io/metadata.name": "shop", "generator-attribution/client": "true"},
    "stranger": {"kubernetes.io/metadata.name": "stranger"},
}


def component(name):
    return {"app.kubernetes.io/component": name}


def matches(selector, labels):
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions", []):
        there = {"Exists": each["key"] in labels, "In": labels.get(each["key"]) in each.get("values", [])}
        if not there[each["operator"]]:
            return False
    return True


def is_peer(peer, namespace, labels):
    if "ipBlock" in peer:
        return False
    if "namespaceSelector" in peer:
        in_namespace = matches(peer["namespaceSelector"], NAMESPACES[namespace])
    else:
        in_namespace = namespace == OURS
    return in_namespace and matches(peer.get("podSelector", {}), labels)


def allowed(objects, direction, own, other, port, protocol="TCP"):
    """Whether one of our pods may be reached from (Ingress), or may reach (Egress), another pod on a port of pods."""
    key, side = (("ingress", "from"), ("egress", "to"))[direction == "Egress"]
    policies = [
        policy["spec"]
        for policy in of_kind(objects, "NetworkPolicy")
        if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], own)
    ]
    if not policies:
        return True
    return any(
        any(is_peer(peer, *other) for peer in rule[side])
        and ("ports" not in rule or any((each["port"], each["protocol"]) == (port, protocol) for each in rule["ports"]))
        for policy in policies
        for rule in policy.get(key, [])
    )


@pytest.fixture(scope="module")
def gpu():
    return documents(("gpu", "monitoring"))


@pytest.mark.parametrize("build", [build for build in BUILDS if "standalone" not in build] + JOB_NAMES, ids="+".join)
def test_every_pod_is_closed_in_both_directions_unless_a_policy_opens_it(build):
    policies = documents(("gpu",))
    (default,) = [each for each in of_kind(policies, "NetworkPolicy") if each["metadata"]["name"] == "default-deny"]
    assert default["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for thing, template in pods(documents(build)):
        labels = template["metadata"]["labels"]
        for direction in ("Ingress", "Egress"):
            assert not allowed(policies, direction, labels, ("stranger", {}), 4444), title(thing)


@pytest.mark.parametrize(
    ("own", "other", "port"),
    [
        pytest.param(component("serving"), ("shop", {}), 8500, id="a client, gRPC"),
        pytest.param(component("serving"), ("shop", {}), 8501, id="a client, REST"),
        pytest.param(component("serving"), (OURS, component("workbench")), 8501, id="the workbench"),
        pytest.param(
            component("serving"), ("monitoring", {"app.kubernetes.io/name": "prometheus"}), 8501, id="Prometheus"
        ),
        pytest.param(component("metadata-store"), (OURS, TASK), 3306, id="a task, metadata"),
        pytest.param(component("metadata-store"), (OURS, component("metadata-backup")), 3306, id="the backup"),
    ],
)
def test_comes_in(gpu, own, other, port):
    assert allowed(gpu, "Ingress", own, other, port)


@pytest.mark.parametrize(
    ("own", "other", "port"),
    [
        pytest.param(component("serving"), ("stranger", {}), 8501, id="a stranger, REST"),
        pytest.param(component("serving"), ("shop", {}), 22, id="a client, another port"),
        pytest.param(component("serving"), ("monitoring", {}), 8501, id="another pod beside Prometheus"),
        pytest.param(component("metadata-store"), (OURS, component("serving")), 3306, id="a server, metadata"),
        pytest.param(component("metadata-store"), (OURS, component("workbench")), 3306, id="the workbench, metadata"),
        pytest.param(component("metadata-store"), ("kubeflow", TASK), 3306, id="somebody else's task, metadata"),
        pytest.param(component("model-retention"), (OURS, {}), 80, id="anybody, retention"),
    ],
)
def test_stays_out(gpu, own, other, port):
    assert not allowed(gpu, "Ingress", own, other, port)


@pytest.mark.parametrize(
    ("own", "other", "port"),
    [
        pytest.param(TASK, (OURS, component("metadata-store")), 3306, id="a task to the metadata store"),
        *(pytest.param(TASK, ("kubeflow", {}), port, id=f"a task to Kubeflow, {port}") for port in (8080, 8887, 9000)),
        pytest.param(
            component("metadata-backup"), (OURS, component("metadata-store")), 3306, id="the backup to the store"
        ),
        pytest.param(component("workbench"), (OURS, component("serving")), 8501, id="the workbench to servers"),
    ],
)
def test_goes_out(gpu, own, other, port):
    assert allowed(gpu, "Egress", own, other, port)


@pytest.mark.parametrize(
    ("own", "other", "port"),
    [
        pytest.param(component("serving"), (OURS, component("metadata-store")), 3306, id="a server to the store"),
        pytest.param(component("metadata-store"), ("kubeflow", {}), 8080, id="the store to Kubeflow"),
        pytest.param(component("model-retention"), (OURS, component("serving")), 8501, id="retention to servers"),
        pytest.param(TASK, ("stranger", {}), 443, id="a task to a stranger's pod"),
    ],
)
def test_stays_in(gpu, own, other, port):
    assert not allowed(gpu, "Egress", own, other, port)


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
@pytest.mark.parametrize("own", [TASK, component("serving"), component("metadata-backup")], ids=str)
def test_every_pod_may_ask_for_names(gpu, own, protocol):
    assert allowed(gpu, "Egress", own, ("kube-system", {"k8s-app": "kube-dns"}), 53, protocol)


def test_addresses_outside_pods_are_the_api_servers_and_the_name_caches():
    blocks = {
        (policy["metadata"]["name"], peer["ipBlock"]["cidr"], tuple(port["port"] for port in rule["ports"]))
        for policy in of_kind(documents(("gpu",)), "NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    }
    assert all(cidr != "0.0.0.0/0" for _, cidr, _ in blocks)
    assert {(name, ports) for name, _, ports in blocks} == {("dns", (53, 53)), ("pipeline", (443, 6443))}


def test_kubeflow_knows_the_namespace_as_a_profiles():
    """Kubeflow's policies let in namespaces with this label alone: kubeflow/manifests, common/networkpolicies."""
    (namespace,) = of_kind(documents(("gpu",)), "Namespace")
    assert namespace["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kubeflow-profile"


def test_in_kubeflows_own_namespace_no_policy_touches_anybody_elses_pods():
    policies = of_kind(documents(("gpu", "monitoring", "standalone")), "NetworkPolicy")
    selected = [policy["spec"]["podSelector"]["matchLabels"] for policy in policies]
    assert (
        all(labels["app.kubernetes.io/component"] in {"serving", "metadata-store"} for labels in selected)
        and len(selected) == 3
    )


@pytest.mark.parametrize(
    ("other", "open_"),
    [
        pytest.param(("monitoring", {"app.kubernetes.io/name": "prometheus"}), True, id="Prometheus"),
        pytest.param(("monitoring", {}), False, id="another pod beside Prometheus"),
        pytest.param(("shop", {}), False, id="a client"),
    ],
)
def test_prometheus_alone_asks_the_drift_monitor(other, open_):
    objects = documents(("gpu", "drift"))
    assert allowed(objects, "Ingress", component("drift"), other, 9102) == open_
    assert not allowed(objects, "Egress", component("drift"), (OURS, component("serving")), 8501)
