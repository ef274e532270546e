"""Every manifest against Kubernetes' own schemas: unknown fields, wrong types and missing fields are refused."""

import functools
import json

import kubernetes_validate
import pytest

from tests.support.kustomize_builds import BUILDS, JOB_NAMES, documents, named, of_kind, title

# Kinds whose schemas are not Kubernetes' own: tests/k8s/test_custom_resources.py.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "InferenceService"}


def newest_minor_versions(count):
    minors = {tuple(map(int, version.split(".")[:2])) for version in kubernetes_validate.utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(minors)[-count:]]


VERSIONS = newest_minor_versions(3)


@functools.cache
def version_asked(text, version):
    """Validates one object, given as JSON: most are the same in many builds, and a validation reads megabytes."""
    return kubernetes_validate.validate(json.loads(text), version, strict=True)


def test_three_minor_versions_in_a_row_are_asked():
    minors = [int(version.split(".")[1]) for version in VERSIONS]
    assert minors == list(range(minors[0], minors[0] + 3))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_every_object_is_valid(build, version):
    objects = [each for each in documents(build) if each["kind"] not in CUSTOM]
    assert objects
    for each in objects:
        assert version_asked(json.dumps(each, sort_keys=True), version) == version, (
            f"{title(each)}: no schemas of {version}"
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_misspelt_field_is_refused(version):
    deployment = named(documents(("gpu",)), "Deployment", "generator-attribution-serving")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, version, strict=True)


@pytest.mark.parametrize("build", BUILDS, ids="+".join)
def test_no_object_is_there_twice(build):
    keys = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents(build)]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("build", BUILDS + JOB_NAMES, ids="+".join)
def test_every_object_stands_in_the_one_namespace(build):
    namespace = "kubeflow" if "standalone" in build else "generator-attribution"
    for each in documents(build):
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == namespace, title(each)


def test_subjects_of_roles_move_with_the_namespace():
    (binding,) = of_kind(documents(("gpu", "standalone")), "RoleBinding")
    assert [subject["namespace"] for subject in binding["subjects"]] == ["kubeflow"]
