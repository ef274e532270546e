"""docs/monitoring.md says what there is."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from components.monitoring.parameters import MonitoringParameters
from pipeline.config.schema import validated
from pipeline.monitoring.gauges import Gauges
from serving.request_log.options import RequestLogOptions
from tests.support.request_logs import entries

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "monitoring.md").read_text()


def test_every_metric_is_listed_with_its_labels():
    gauges = Gauges()
    gauges.looked(SimpleNamespace(divergences=[], rows=0, baseline_rows=0, reference_rows=0, malformed=0))
    there = set(re.findall(r"^# TYPE (\S+)", gauges.render().decode(), re.MULTILINE))
    listed = set(re.findall(r"^\| `(generator_attribution_\w+)` \|", TEXT, re.MULTILINE))
    assert listed == there


def test_every_field_of_a_line_is_listed():
    (entry,) = entries(1, 0)
    section = TEXT.split("## Request log", 1)[1].split("\n## ", 1)[0]
    listed = {
        name for cell in re.findall(r"^\| (`[^|]+)\|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert set(json.loads(entry.to_line())) | {"image"} == listed


def test_the_example_is_valid_and_its_plain_values_are_the_defaults():
    (block,) = re.findall(r"```yaml\nmonitoring:\n(.*?)```", TEXT, re.DOTALL)
    shown = validated(MonitoringParameters, yaml.safe_load(block))
    defaults = MonitoringParameters()
    assert set(yaml.safe_load(block)) == set(MonitoringParameters.model_fields)
    assert shown.model_copy(update={"thresholds": {}}) == defaults


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("max_waiting_rows", "1,024"),
        ("max_waiting_bytes", "64 MiB"),
        ("max_file_bytes", "64 MiB"),
        ("max_folder_bytes", "1 GiB"),
        ("max_images_bytes", "1 GiB"),
    ],
)
def test_limits_are_as_written(name, written):
    value = asdict(RequestLogOptions(Path("log")))[name]
    amount, _, unit = written.replace(",", "").partition(" ")
    assert value == int(amount) * {"": 1, "MiB": 2**20, "GiB": 2**30}[unit]
    assert written in TEXT
