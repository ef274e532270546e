"""What manifests say of each other: names, labels, ports, volumes and files agree."""

import re

import pytest

from serving import contract
from serving.server.configuration.files import read_batching_parameters, read_model_configs, read_monitoring_config
from tests.support.kustomize_builds import (
    BUILDS,
    JOB_NAMES,
    K8S,
    container,
    containers,
    documents,
    named,
    of_kind,
    pods,
    title,
)

CONFIG = K8S / "base" / "config"
SECRET = ("generator-attribution-metadata", {"password", "root-password"})
WITH_OUR_SERVERS = [build for build in BUILDS if "kserve" not in build]


def selected(labels, selector):
    return all(labels.get(key) == value for key, value in selector.items())


def pods_selected(objects, selector):
    return [title(thing) for thing, template in pods(objects) if selected(template["metadata"]["labels"], selector)]


@pytest.mark.parametrize("build", BUILDS, ids="+".join)
def test_controllers_select_their_own_pods_and_no_others(build):
    objects = documents(build)
    for thing in of_kind(objects, "Deployment", "StatefulSet"):
        assert pods_selected(objects, thing["spec"]["selector"]["matchLabels"]) == [title(thing)]


@pytest.mark.parametrize("build", BUILDS, ids="+".join)
def test_services_select_pods_that_listen_on_their_ports(build):
    objects = documents(build)
    services = of_kind(objects, "Service")
    assert services
    for service in services:
        (found,) = pods_selected(objects, service["spec"]["selector"])
        (template,) = [template for thing, template in pods(objects) if title(thing) == found]
        open_ports = {port["name"]: port for each in template["spec"]["containers"] for port in each.get("ports", [])}
        for port in service["spec"]["ports"]:
            assert open_ports[port["targetPort"]]["containerPort"] == port["port"], title(service)


@pytest.mark.parametrize("build", BUILDS, ids="+".join)
def test_budgets_and_autoscalers_belong_to_deployments_that_there_are(build):
    objects = documents(build)
    servers = ["Deployment/generator-attribution-serving"]
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert pods_selected(objects, budget["spec"]["selector"]["matchLabels"]) == servers
    for autoscaler in of_kind(objects, "HorizontalPodAutoscaler"):
        target = autoscaler["spec"]["scaleTargetRef"]
        assert [f"{target['kind']}/{target['name']}"] == servers
        # Else every `kubectl apply` would undo what the autoscaler did.
        assert "replicas" not in named(objects, target["kind"], target["name"])["spec"]
        assert 2 <= autoscaler["spec"]["minReplicas"] < autoscaler["spec"]["maxReplicas"]


def test_one_small_server_has_no_autoscaler_and_may_be_evicted():
    objects = documents(("cpu",))
    assert named(objects, "Deployment", "generator-attribution-serving")["spec"]["replicas"] == 1
    assert of_kind(objects, "HorizontalPodAutoscaler") == []
    (budget,) = of_kind(objects, "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in budget["spec"]


def names_needed(template):
    """Gives (kind, name, keys) of everything that pods cannot start without."""
    spec = template["spec"]
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], set()
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], set()
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], set()
    for each in containers(spec):
        for variable in each.get("env", []):
            source = variable.get("valueFrom", {})
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if field in source:
                    yield kind, source[field]["name"], {source[field]["key"]}
    yield "ServiceAccount", spec["serviceAccountName"], set()


@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_everything_that_pods_need_is_there(build):
    objects = documents(build)
    there = objects if build[0] != "job" else objects + documents(("gpu",))
    known = {(each["kind"], each["metadata"].get("name")): set(each.get("data", {})) for each in there}
    known["Secret", SECRET[0]] = SECRET[1]  # the runbook creates it: it stands in no file
    for thing, template in pods(objects):
        for kind, name, keys in names_needed(template):
            assert (kind, name) in known, f"{title(thing)} needs {kind}/{name}"
            assert keys <= known[kind, name], f"{title(thing)} needs {keys} of {kind}/{name}"


@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_every_mount_has_a_volume_and_every_volume_a_mount(build):
    for thing, template in pods(documents(build)):
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for each in containers(template["spec"]) for mount in each["volumeMounts"]}
        assert mounted == volumes, title(thing)


@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_variables_that_stand_in_arguments_and_paths_are_set(build):
    for thing, template in pods(documents(build)):
        for each in containers(template["spec"]):
            known = set()
            texts = [*each.get("command", []), *each.get("args", [])]
            texts += [mount.get("subPathExpr", "") for mount in each["volumeMounts"]]
            for variable in each.get("env", []):
                # Kubernetes expands what was set before it.
                assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= known
                known.add(variable["name"])
            used = {name for text in texts for name in re.findall(r"\$\((\w+)\)", text)}
            assert used - known == set(), f"{title(thing)}, container {each['name']}"
            assert not any("$(" in mount["mountPath"] for mount in each["volumeMounts"]), "mountPath is not expanded"


@pytest.mark.parametrize("build", BUILDS, ids="+".join)
def test_the_run_that_is_served_is_named_once(build):
    objects = documents(build)
    run = named(objects, "ConfigMap", "generator-attribution-run")["data"]["name"]
    run_path = re.compile(rf"\bruns/{run}\b")
    for thing in objects:
        text = str({key: value for key, value in thing.items() if key != "metadata"})
        # KServe expands no variables: there a replacement writes it.
        assert bool(run_path.search(text)) == (thing["kind"] == "InferenceService"), title(thing)


def test_the_only_writable_mounts_of_the_volume_are_those_that_write():
    writers = {
        f"{title(thing)}/{each['name']}"
        for build in (("gpu",), *JOB_NAMES)
        for thing, template in pods(documents(build))
        for each in containers(template["spec"])
        for mount in each["volumeMounts"]
        if mount["name"] == "shared" and not mount.get("readOnly")
    }
    assert writers == {
        "Deployment/generator-attribution-serving/seed-models-config",
        "CronJob/metadata-backup/mariadb-dump",
        "CronJob/model-retention/retain",
        "Job/prepare-dataset-/prepare",
        "Pod/workbench/workbench",
    }


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("models.config", read_model_configs),
        ("batching_parameters.txt", read_batching_parameters),
        ("monitoring.config", read_monitoring_config),
    ],
)
@pytest.mark.parametrize("build", [("gpu",), ("cpu",)], ids="+".join)
def test_config_files_in_the_cluster_are_those_of_the_repository_and_can_be_read(build, name, read, tmp_path):
    (config,) = [each for each in documents(build) if each["metadata"]["name"].startswith("serving-config-")]
    assert config["data"][name] == (CONFIG / name).read_text()
    (tmp_path / name).write_text(config["data"][name])
    assert read(tmp_path / name)


@pytest.mark.parametrize("build", WITH_OUR_SERVERS, ids="+".join)
def test_tf_servings_flags_point_to_what_is_mounted(build):
    objects = documents(build)
    server = container(objects, "Deployment", "generator-attribution-serving", "tensorflow-serving")
    flags = dict(arg.removeprefix("--").split("=") for arg in server["args"])
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    assert mounts["shared"]["readOnly"]
    assert flags["model_config_file"] == f"{mounts['shared']['mountPath']}/models.config"
    for flag, name in (
        ("batching_parameters_file", "batching_parameters.txt"),
        ("monitoring_config_file", "monitoring.config"),
    ):
        assert flags[flag] == f"{mounts['config']['mountPath']}/{name}"
    (model,) = read_model_configs(CONFIG / "models.config")
    assert str(model.base_path) == f"{mounts['shared']['mountPath']}/{contract.DEFAULT_MODEL_NAME}"
    assert {port["name"]: str(port["containerPort"]) for port in server["ports"]} == {
        "grpc": flags["port"],
        "http": flags["rest_api_port"],
    }
    assert server["livenessProbe"]["grpc"]["port"] == int(flags["port"])
    assert flags["enable_grpc_healthcheck_service"] == "true", "the liveness probe asks for it"
    assert flags["allow_version_labels_for_unavailable_models"] == "true", "else labels keep it from starting"
    assert int(flags["model_config_file_poll_wait_seconds"]) > 0, "else promote and rollback have no effect"


def test_tf_servings_flags_are_tf_servings():
    """Names as TF Serving's model_servers/main.cc has them."""
    server = container(documents(("gpu",)), "Deployment", "generator-attribution-serving", "tensorflow-serving")
    known = {
        "port",
        "rest_api_port",
        "rest_api_timeout_in_ms",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "allow_version_labels_for_unavailable_models",
        "file_system_poll_wait_seconds",
        "enable_batching",
        "batching_parameters_file",
        "monitoring_config_file",
        "enable_grpc_healthcheck_service",
    }
    assert {arg.removeprefix("--").split("=")[0] for arg in server["args"]} == known


@pytest.mark.parametrize("build", WITH_OUR_SERVERS, ids="+".join)
def test_there_are_as_many_batch_threads_as_cores(build):
    server = container(documents(build), "Deployment", "generator-attribution-serving", "tensorflow-serving")
    batching = read_batching_parameters(CONFIG / "batching_parameters.txt")
    assert server["resources"]["limits"]["cpu"] == str(batching.num_batch_threads)


def test_the_gpu_overlay_asks_for_one_gpu_on_a_node_that_has_one():
    spec = named(documents(("gpu",)), "Deployment", "generator-attribution-serving")["spec"]["template"]["spec"]
    assert spec["nodeSelector"]["nvidia.com/gpu.present"] == "true"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    (server,) = spec["containers"]
    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert server["image"] == "tensorflow/serving:2.19.1-gpu"


def test_an_overlay_only_adds_to_the_tolerations_of_base():
    def tolerations(build):
        server = named(documents(build), "Deployment", "generator-attribution-serving")
        return server["spec"]["template"]["spec"]["tolerations"]

    assert all(each in tolerations(("gpu",)) for each in tolerations(("base",)))


@pytest.mark.parametrize("build", WITH_OUR_SERVERS, ids="+".join)
def test_rollouts_take_no_server_away_before_the_next_is_ready(build):
    spec = named(documents(build), "Deployment", "generator-attribution-serving")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (server,) = spec["template"]["spec"]["containers"]
    startup = server["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] < spec["progressDeadlineSeconds"]


@pytest.mark.parametrize("build", WITH_OUR_SERVERS, ids="+".join)
def test_a_server_drains_for_longer_than_its_slowest_request_and_within_its_grace_period(build):
    from serving.client.options import ClientOptions

    spec = named(documents(build), "Deployment", "generator-attribution-serving")["spec"]["template"]["spec"]
    (server,) = spec["containers"]
    shell, script, seconds = server["lifecycle"]["preStop"]["exec"]["command"]
    assert (shell, script) == ("bash", "/scripts/drain.sh")
    assert ClientOptions().deadline < int(seconds) < spec["terminationGracePeriodSeconds"]


def test_kserve_takes_over_run_resources_nodes_and_release_from_the_overlay():
    deployment = named(documents(("gpu",)), "Deployment", "generator-attribution-serving")["spec"]["template"]["spec"]
    (server,) = deployment["containers"]
    objects = documents(("gpu", "kserve"))
    run = named(objects, "ConfigMap", "generator-attribution-run")["data"]["name"]
    (service,) = of_kind(objects, "InferenceService")
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == (
        f"pvc://generator-attribution/runs/{run}/serving/{contract.DEFAULT_MODEL_NAME}"
    )
    assert predictor["model"]["resources"] == server["resources"]
    assert f"tensorflow/serving:{predictor['model']['runtimeVersion']}" == server["image"]
    assert predictor["nodeSelector"] == deployment["nodeSelector"]
    assert predictor["tolerations"] == deployment["tolerations"]
    assert of_kind(objects, "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget") == []


@pytest.mark.parametrize("build", [("gpu",), ("cpu",)], ids="+".join)
def test_dumps_are_made_and_restored_with_the_servers_own_release(build):
    images = {
        each["image"]
        for source in (build, ("job", "restore-metadata"))
        for _, template in pods(documents(source))
        for each in containers(template["spec"])
        if each["image"].startswith("mariadb:")
    }
    assert len(images) == 1


def test_the_drift_monitor_reads_what_the_pipeline_pushed_and_is_scraped_where_it_listens():
    from pipeline.cli.parser import build_parser

    objects = documents(("gpu", "drift"))
    monitor = container(objects, "Deployment", "generator-attribution-drift", "monitor")
    arguments = build_parser().parse_args(monitor["args"])
    (shared,) = [mount for mount in monitor["volumeMounts"] if mount["name"] == "shared"]
    assert (shared["subPathExpr"], shared["readOnly"]) == ("runs/$(RUN_NAME)", True)
    assert str(arguments.servable) == f"{shared['mountPath']}/serving/{contract.DEFAULT_MODEL_NAME}"
    assert str(arguments.log) == f"{shared['mountPath']}/requests"
    (port,) = monitor["ports"]
    assert arguments.port == port["containerPort"]
    scraped = named(objects, "ServiceMonitor", "generator-attribution-drift")["spec"]
    service = named(objects, "Service", "generator-attribution-drift")
    assert selected(service["metadata"]["labels"], scraped["selector"]["matchLabels"])
    assert [endpoint["port"] for endpoint in scraped["endpoints"]] == [
        each["name"] for each in service["spec"]["ports"]
    ]
