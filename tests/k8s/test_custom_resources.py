"""Objects of other APIs against the schemas of those: the Prometheus operator's, and KServe's."""

import jsonschema
import kubernetes_validate
import pytest
from cloudcoil.models.prometheus_operator import v1

from tests.support import pod_policy
from tests.support.kserve_schema import checked_pod
from tests.support.kustomize_builds import BUILDS, documents, of_kind

KUBERNETES = kubernetes_validate.latest_version()


def strict_schema(model):
    """A model's schema in which no object has fields that are not listed: by itself it lets unknown ones through."""
    schema = model.model_json_schema(by_alias=True)
    for each in [schema, *schema.get("$defs", {}).values()]:
        if "properties" in each:
            each["additionalProperties"] = False
        # Go allows flags anywhere in a pattern, Python at its beginning alone.
        for alternative in (one for field in each.get("properties", {}).values() for one in field.get("anyOf", [])):
            if alternative.get("pattern", "").startswith("^(?i)"):
                alternative["pattern"] = "(?i)^" + alternative["pattern"].removeprefix("^(?i)")
    return schema


SCHEMAS = {
    kind: jsonschema.Draft202012Validator(strict_schema(model))
    for kind, model in (("ServiceMonitor", v1.ServiceMonitor), ("PrometheusRule", v1.PrometheusRule))
}


def validate(thing):
    if thing["kind"] == "InferenceService":
        kubernetes_validate.validate(checked_pod(thing), KUBERNETES, strict=True)
    else:
        SCHEMAS[thing["kind"]].validate(thing)


def custom(build):
    return [each for each in documents(build) if each["kind"] in {*SCHEMAS, "InferenceService"}]


def only(kind):
    (found,) = of_kind(documents(("gpu", "monitoring", "kserve", "standalone")), kind)
    return found


@pytest.mark.parametrize("build", [build for build in BUILDS if {"monitoring", "kserve"} & set(build)], ids="+".join)
def test_every_object_is_valid(build):
    objects = custom(build)
    assert objects
    for each in objects:
        validate(each)


def test_components_that_are_not_asked_for_bring_no_objects_of_other_apis():
    assert custom(("gpu",)) == custom(("cpu",)) == []


def misspelt_endpoint(monitor):
    monitor["spec"]["endpoints"][0]["intervall"] = "30s"


def interval_without_unit(monitor):
    monitor["spec"]["endpoints"][0]["interval"] = "30"


def port_as_a_number(monitor):
    monitor["spec"]["endpoints"][0]["port"] = 8501


def no_selector(monitor):
    del monitor["spec"]["selector"]


def misspelt_rule(rule):
    rule["spec"]["groups"][0]["rules"][0]["expression"] = "up"


def number_as_annotation(rule):
    rule["spec"]["groups"][0]["rules"][0]["annotations"]["summary"] = 5


def rules_without_group_name(rule):
    del rule["spec"]["groups"][0]["name"]


def misspelt_predictor(service):
    service["spec"]["predictor"]["minReplica"] = 1


def negative_replicas(service):
    service["spec"]["predictor"]["minReplicas"] = -1


def misspelt_container(service):
    service["spec"]["predictor"]["model"]["storageURI"] = "pvc://x"


def no_format(service):
    del service["spec"]["predictor"]["model"]["modelFormat"]


def memory_as_a_list(service):
    service["spec"]["predictor"]["model"]["resources"]["limits"]["memory"] = ["8Gi"]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        *(
            ("ServiceMonitor", each)
            for each in (misspelt_endpoint, interval_without_unit, port_as_a_number, no_selector)
        ),
        *(("PrometheusRule", each) for each in (misspelt_rule, number_as_annotation, rules_without_group_name)),
        *(
            ("InferenceService", each)
            for each in (misspelt_predictor, negative_replicas, misspelt_container, no_format, memory_as_a_list)
        ),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_the_api_would_refuse_or_drop_is_refused(kind, damage):
    thing = only(kind)
    damage(thing)
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(thing)


# A bare Pod would have to end at some time; the one that KServe makes belongs to a Deployment.
@pytest.mark.parametrize(
    "rule",
    [rule for rule in pod_policy.RULES if rule is not pod_policy.ends_at_some_time_if_it_does_not],
    ids=lambda rule: rule.__name__,
)
@pytest.mark.parametrize("overlay", ["gpu", "cpu"])
def test_kserves_pods_keep_the_rules_too(overlay, rule):
    (service,) = of_kind(documents((overlay, "kserve")), "InferenceService")
    assert rule([checked_pod(service)]) == []


def test_the_monitor_scrapes_the_service_that_counts_every_pod_once():
    objects = documents(("gpu", "monitoring"))
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    services = [each for each in of_kind(objects, "Service") if selector.items() <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in services] == ["generator-attribution-serving"]
    assert endpoint["port"] in {port["name"] for port in services[0]["spec"]["ports"]}
