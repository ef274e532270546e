"""The runbook: what it names is there, and what can be run without a cluster runs."""

import re
import shlex
import subprocess

import pytest
import yaml

from pipeline.cli.parser import build_parser
from pipeline.config.schema import PipelineConfig
from tests.support.kustomize_builds import (
    COMPONENTS,
    JOBS,
    K8S,
    OVERLAYS,
    REPOSITORY,
    container,
    documents,
    kubectl,
    kustomize,
    named,
    of_kind,
)

RUNBOOK = (K8S / "README.md").read_text(encoding="utf-8")
IMAGE = "registry.example.org:5000/team/generator-attribution:1.2.3"


def commands(program):
    """Every command line of a program, in blocks and in text; continued lines are put together."""
    text = RUNBOOK.replace("\\\n", " ")
    return re.findall(rf"(?:^ *|`|&& |\| ?)({program} [^`|&\n]*)", text, re.MULTILINE)


def blocks(language):
    return [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, text in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", RUNBOOK, re.MULTILINE | re.DOTALL)
    ]


def test_paths_that_it_names_are_there():
    paths = set(re.findall(r"\b(?:k8s|configs|docs|benchmarks)/[\w./-]*\w", RUNBOOK)) | {
        f"k8s/{path}" for path in re.findall(r"`((?:base|jobs|overlays|components)/[\w./-]*)`", RUNBOOK)
    }
    made_by_the_reader = {"k8s/overlays/site", "k8s/overlays/site/kustomization.yaml", "configs/site.yaml"}
    assert {path for path in paths - made_by_the_reader if not (REPOSITORY / path).exists()} == set()


def test_overlays_components_and_jobs_are_all_explained():
    for name in (*(f"overlays/{each}" for each in OVERLAYS), *(f"components/{each}" for each in COMPONENTS)):
        assert f"`{name}`" in RUNBOOK
    for job in JOBS:
        assert f"jobs/{job.name}" in RUNBOOK


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("Deployment", "deployment"),
        ("StatefulSet", "statefulset"),
        ("Service", "service"),
        ("CronJob", "cronjob"),
        ("ServiceAccount", "serviceaccount"),
    ],
)
def test_objects_in_commands_are_there(kind, word):
    there = {each["metadata"]["name"] for each in of_kind(documents(("gpu",)), kind)} | {"ml-pipeline-ui"}
    mentioned = {name for each in commands("kubectl") for name in re.findall(rf"\b{word}[/ ]([a-z][\w-]+)", each)}
    assert mentioned, f"no command names a {word}: the test would see nothing"
    assert mentioned <= there


def test_labels_that_commands_select_by_are_on_pods():
    selected = set(re.findall(r"-l (app\.kubernetes\.io/component)=([\w-]+)", RUNBOOK))
    assert selected
    manifests = "".join(path.read_text() for path in K8S.rglob("*.yaml"))
    for key, value in selected:
        assert f"{key}: {value}\n" in manifests


@pytest.mark.parametrize("command", [each for each in commands("kubectl") if "--local" in each])
def test_images_are_put_into_jobs_as_it_says(command):
    words = shlex.split(command.replace("$IMAGE", IMAGE))
    done = subprocess.run(
        [kubectl(), *words[1:]], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60
    )
    thing = yaml.safe_load(done.stdout)
    spec = thing["spec"]["template"]["spec"] if thing["kind"] == "Job" else thing["spec"]
    assert [each["image"] for each in spec["containers"]] == [IMAGE]


def test_headers_of_jobs_give_the_commands_that_it_gives():
    for job in JOBS:
        for line in re.findall(r"^#   (kubectl (?:set|create).*)$", job.read_text(), re.MULTILINE):
            assert line in RUNBOOK


def test_an_overlay_made_as_it_says_builds(tmp_path):
    script = next(block for block in blocks("bash") if "overlays/site" in block)
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["cp", "-r", str(K8S), str(repository)], check=True)
    script = script.replace("kubectl kustomize", "true")
    subprocess.run(["bash", "-euc", script], cwd=repository, env={"IMAGE": IMAGE, "PATH": "/usr/bin:/bin"}, check=True)
    objects = kustomize(repository / "k8s" / "overlays" / "site")
    seed = container(objects, "Deployment", "generator-attribution-serving", "seed-models-config")
    assert seed["image"] == IMAGE
    claim = named(objects, "PersistentVolumeClaim", "generator-attribution")["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("nfs", "500Gi")
    assert of_kind(objects, "ServiceMonitor")


def test_the_run_is_renamed_by_the_one_patch_that_it_shows(tmp_path):
    patch = next(yaml.safe_load(block) for block in blocks("yaml") if "generator-attribution-run" in block)
    subprocess.run(["cp", "-r", str(K8S), str(tmp_path)], check=True)
    site = tmp_path / "k8s" / "overlays" / "site"
    site.mkdir()
    (site / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["../gpu"], **patch}))
    kserve = tmp_path / "k8s" / "overlays" / "kserve"
    kserve.mkdir()
    on_top = {"resources": ["../site"], "components": ["../../components/kserve"]}
    (kserve / "kustomization.yaml").write_text(yaml.safe_dump(on_top))
    (service,) = of_kind(kustomize(kserve), "InferenceService")
    assert "/runs/faces/serving/" in service["spec"]["predictor"]["model"]["storageUri"]
    assert "ganfp" not in str([each for each in kustomize(kserve) if each["kind"] != "NetworkPolicy"])


def test_commands_of_ours_exist_with_the_options_that_it_gives():
    given = [each for each in commands("genattr") if len(shlex.split(each)) > 2]
    assert {shlex.split(each)[1] for each in given} >= {"compile", "submit", "schedule", "promote", "rollback"}
    for each in given:
        # What stands behind two spaces explains the command.
        words = shlex.split(re.split(r" {2,}", each.strip())[0])
        build_parser().parse_args(words[1:])


def configuration():
    """configs/kubeflow.yaml, which the runbook has copied."""
    return PipelineConfig.model_validate(yaml.safe_load((REPOSITORY / "configs" / "kubeflow.yaml").read_text()))


def test_the_configuration_that_it_shows_is_valid_and_names_what_the_manifests_make():
    config, objects = configuration(), documents(("gpu",))
    claim, account = config.kubeflow.volume_claim, config.kubeflow.service_account
    assert named(objects, "PersistentVolumeClaim", claim)
    assert named(objects, "ServiceAccount", account)
    (port,) = named(objects, "Service", config.metadata.host)["spec"]["ports"]
    assert port["port"] == config.metadata.port
    store = container(objects, "StatefulSet", "metadata-store", "mariadb")
    variables = {variable["name"]: variable["value"] for variable in store["env"]}
    assert variables["MARIADB_DATABASE"] == config.metadata.database
    assert variables["MARIADB_USER"] == config.metadata.user
    secret = config.kubeflow.password_secret
    assert f"kubectl create secret generic {secret.name}" in RUNBOOK
    assert f"--from-literal={secret.key}=" in RUNBOOK


def test_what_the_pipeline_pushes_is_what_is_served():
    config = configuration()
    objects = documents(("gpu",))
    run = named(objects, "ConfigMap", "generator-attribution-run")["data"]["name"]
    assert config.output_root == f"{config.kubeflow.volume_mount}/runs/{run}"
    server = container(objects, "Deployment", "generator-attribution-serving", "tensorflow-serving")
    (shared,) = [mount for mount in server["volumeMounts"] if mount["name"] == "shared"]
    assert shared["subPathExpr"] == "runs/$(RUN_NAME)/serving"


@pytest.mark.parametrize("job", ["prepare-dataset"])
def test_arguments_of_jobs_are_our_commands(job):
    (thing,) = documents(("job", job))
    (each,) = thing["spec"]["template"]["spec"]["containers"]
    build_parser().parse_args(each["args"])


def test_arguments_of_the_retention_job_are_our_commands():
    retain = container(documents(("gpu",)), "CronJob", "model-retention", "retain")
    arguments = build_parser().parse_args(retain["args"])
    assert arguments.keep == 5
    assert arguments.models_config == arguments.folder.parent / "models.config"


def test_data_are_prepared_where_the_pipeline_looks_for_them():
    (job,) = documents(("job", "prepare-dataset"))
    (each,) = job["spec"]["template"]["spec"]["containers"]
    assert str(build_parser().parse_args(each["args"]).out) == configuration().data.dataset


def test_tasks_and_servers_run_as_the_same_user():
    spec = named(documents(("gpu",)), "Deployment", "generator-attribution-serving")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsUser"] == configuration().kubeflow.user
