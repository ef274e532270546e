"""Files that the first node of a pipeline reads."""

import fnmatch
import json

import pytest

from pipeline.config.schema import validate_config
from pipeline.graph.spans import Graph, add_span


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("examples-00000-of-00001.tfrecord.gz", True),
        ("._examples-00000-of-00001.tfrecord.gz", False),
        (".DS_Store", False),
        (".examples-00000-of-00001.tfrecord.gz.partial", False),
    ],
)
def test_only_the_dataset_s_own_files_are_read(name, read, tmp_path):
    values = {"name": "demo", "data": {"dataset": str(tmp_path)}, "output_root": str(tmp_path)}
    graph = Graph(validate_config(values, "demo.yaml"), {})
    add_span(graph, 1, "")
    splits = json.loads(graph.nodes[0].exec_properties["input_config"])["splits"]
    assert len(splits) == 4
    for split in splits:
        pattern = split["pattern"].replace("{SPAN}", "1")
        assert fnmatch.fnmatchcase(f"span-1/{split['name']}/{name}", pattern) is read
