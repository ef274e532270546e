"""Alerts and dashboard: metrics that exist, expressions that Prometheus reads, alerts that fire when they should."""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import yaml

from pipeline.monitoring.gauges import Gauges
from serving.server.configuration.files import read_monitoring_config
from serving.server.telemetry.metrics import ServerMetrics
from tests.support.kustomize_builds import K8S, REPOSITORY, documents, named, of_kind

# Not TF Serving's: the scraper's own, kube-state-metrics', the kubelet's.
# https://prometheus.io/docs/concepts/jobs_instances/
# https://github.com/kubernetes/kube-state-metrics/blob/main/docs/metrics/workload/cronjob-metrics.md
# https://kubernetes.io/docs/reference/instrumentation/metrics/
OTHERS = {
    "up",
    "kube_cronjob_status_last_successful_time",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
}
# Names in an expression: not inside quotes or braces, not a function's, keyword's or label's.
WORDS_OF_PROMQL = {"by", "or", "offset", "absent", "sum", "max", "rate", "histogram_quantile", "time"}
WORDS_OF_PROMQL |= {"le", "model_name", "model_path", "status", "column", "kind", "of", "m", "e6"}

OBJECTS = documents(("gpu", "monitoring"))
RULES = [rule for group in of_kind(OBJECTS, "PrometheusRule")[0]["spec"]["groups"] for rule in group["rules"]]
DASHBOARD = json.loads(
    named(OBJECTS, "ConfigMap", "generator-attribution-dashboard")["data"]["generator-attribution.json"]
)
EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in RULES] + [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def tf_servings_metrics():
    """What TF Serving and the embedded server share, with the names under which histograms are scraped."""
    kinds = dict(re.findall(r"^# TYPE (:\S+) (\w+)", ServerMetrics().render().decode(), re.MULTILINE))
    histograms = {
        f"{name}{end}" for name, kind in kinds.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")
    }
    return histograms | {name for name, kind in kinds.items() if kind != "histogram"}


def monitors_metrics():
    """What `genattr monitor` shows once it has found rows."""
    gauges = Gauges()
    gauges.looked(SimpleNamespace(divergences=[], rows=0, baseline_rows=0, reference_rows=0, malformed=0))
    return set(re.findall(r"^# TYPE (\S+)", gauges.render().decode(), re.MULTILINE))


def metrics_in(expression):
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expression)
    return set(re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*", bare)) - WORDS_OF_PROMQL


def promtool(*words):
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not installed (Debian package: prometheus)")
    return subprocess.run([tool, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def rule_file(tmp_path):
    """The rules without what Kubernetes needs around them."""
    (rule,) = of_kind(OBJECTS, "PrometheusRule")
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    return path


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_metrics_in_expressions_exist(where, expression):
    names = metrics_in(expression)
    assert names
    assert names <= tf_servings_metrics() | monitors_metrics() | OTHERS


def test_a_metric_that_does_not_exist_is_seen():
    assert metrics_in('sum by (le) (rate(:tensorflow:serving:requests{status="OK"}[5m])) > 2e6') == {
        ":tensorflow:serving:requests"
    }


def test_metrics_are_in_the_documentation():
    section = (REPOSITORY / "docs" / "serving.md").read_text().split("## Metrics", 1)[1].split("\n## ", 1)[0]
    listed = set(re.findall(r"^\| `(:\w[:\w]+)`", section, re.MULTILINE))
    used = {name for _, expression in EXPRESSIONS for name in metrics_in(expression) if name.startswith(":")}
    assert used
    for name in used:
        assert {name, re.sub(r"_(bucket|sum|count)$", "", name)} & listed, name


def test_the_scraped_path_is_the_one_that_is_configured():
    (monitor,) = of_kind(OBJECTS, "ServiceMonitor")
    config = read_monitoring_config(K8S / "base" / "config" / "monitoring.config")
    assert [endpoint["path"] for endpoint in monitor["spec"]["endpoints"]] == [config.path]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_servers_are_told_apart_by_the_job_that_the_operator_gives_them(where, expression):
    """The operator names the job after the Service."""
    services = {each["metadata"]["name"] for each in of_kind(OBJECTS, "Service")}
    jobs = set(re.findall(r'\bjob="([^"]+)"', expression))
    assert jobs <= services
    assert jobs or not any(name.startswith(":") or name == "up" for name in metrics_in(expression))


def test_every_alert_says_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")


def test_the_dashboard_is_found_and_shows_what_alerts_are_about():
    config = named(OBJECTS, "ConfigMap", "generator-attribution-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    shown = {
        name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in metrics_in(target["expr"])
    }
    ours = tf_servings_metrics() | monitors_metrics()
    alerted = {name for rule in RULES for name in metrics_in(rule["expr"]) if name in ours}
    assert alerted <= shown


def test_prometheus_reads_the_rules(rule_file):
    done = promtool("check", "rules", rule_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[where for where, _ in EXPRESSIONS])
def test_prometheus_reads_every_expression(where, expression, tmp_path):
    rules = {
        "groups": [{"name": "x", "rules": [{"record": "x", "expr": expression.replace("$__rate_interval", "1m")}]}]
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    done = promtool("check", "rules", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def requests(status, values):
    labels = f'job="generator-attribution-serving", model_name="generator_attribution", status="{status}"'
    return {"series": f":tensorflow:serving:request_count{{{labels}}}", "values": values}


LOADS = (
    ":tensorflow:cc:saved_model:load_attempt_count"
    '{job="generator-attribution-serving", model_path="/models/7", status="fail"}'
)
UP = 'up{job="generator-attribution-serving", pod="a"}'
STALE = "_x60 "  # an hour without samples


def breach(kind, values):
    return {"series": f'generator_attribution_drift_breach{{column="width", kind="{kind}"}}', "values": values}


def looked(values):
    return {"series": "generator_attribution_monitor_last_success_timestamp_seconds", "values": values}


@pytest.mark.parametrize(
    ("alert", "series", "fires"),
    [
        pytest.param("GeneratorAttributionNotServing", [], True, id="no pod"),
        pytest.param("GeneratorAttributionNotServing", [{"series": UP, "values": "0x60"}], True, id="no answer"),
        pytest.param("GeneratorAttributionNotServing", [{"series": UP, "values": "1x60"}], False, id="one pod"),
        pytest.param(
            "GeneratorAttributionServerErrors",
            [requests("OK", "0+90x60"), requests("INTERNAL", "0+10x60")],
            True,
            id="faults",
        ),
        pytest.param(
            "GeneratorAttributionServerErrors",
            [requests("OK", "0+90x60"), requests("INVALID_ARGUMENT", "0+90x60")],
            False,
            id="bad images are no faults",
        ),
        pytest.param(
            "GeneratorAttributionRefusedRequests",
            [requests("OK", "0+90x60"), requests("INVALID_ARGUMENT", "0+90x60")],
            True,
            id="bad images",
        ),
        pytest.param(
            "GeneratorAttributionVersionDoesNotLoad",
            [{"series": LOADS, "values": f"{STALE}1x5"}],
            True,
            id="first failure",
        ),
        pytest.param(
            "GeneratorAttributionVersionDoesNotLoad",
            [{"series": LOADS, "values": "1x60 2x5"}],
            True,
            id="second failure",
        ),
        pytest.param(
            "GeneratorAttributionVersionDoesNotLoad", [{"series": LOADS, "values": "2x70"}], False, id="long ago"
        ),
        pytest.param("GeneratorAttributionVersionDoesNotLoad", [], False, id="none ever"),
        pytest.param("GeneratorAttributionSkew", [breach("skew", "1x70")], True, id="skew for an hour"),
        pytest.param("GeneratorAttributionSkew", [breach("skew", "1x30 0x40")], False, id="skew that went away"),
        pytest.param("GeneratorAttributionSkew", [breach("drift", "1x70")], False, id="drift is no skew"),
        pytest.param("GeneratorAttributionDrift", [breach("drift", "1x70")], True, id="drift for an hour"),
        pytest.param("GeneratorAttributionDrift", [breach("drift", "0x70")], False, id="no drift"),
        pytest.param("GeneratorAttributionDrift", [], False, id="no monitor"),
        pytest.param("GeneratorAttributionMonitorStopped", [looked("-9000x70")], True, id="no look for hours"),
        pytest.param("GeneratorAttributionMonitorStopped", [looked("0+60x70")], False, id="looks all the time"),
    ],
)
def test_alerts_fire_when_they_should(alert, series, fires, rule_file, tmp_path):
    test = {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": "62m", "alertname": alert, "exp_alerts": []}],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rule_file)], "tests": [test]}))
    done = promtool("test", "rules", path)
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fires, said
    if fires:
        # promtool names what it got where none were expected.
        assert f'alertname="{alert}"' in said
