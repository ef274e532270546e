"""Warm-up records of both ways to write a servable, read and run as the embedded server does before it serves."""

import json

import pytest

from components.servable.export import WARMUP_BATCH_SIZES
from pipeline.cli.main import main
from serving import contract
from serving.images import size_of
from serving.servable.model import Servable
from serving.servable.rows import run_batch
from serving.servable.versions import find_version
from serving.server.models.loading import warmup_requests
from tests.support.published_files import write_published, write_statistics


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """What `genattr import-weights` writes, of spectra and one head."""
    folder = tmp_path_factory.mktemp("imported")
    file = write_published(folder / "attribution_x_a_dct.h5", pooled=False, head_seed=2)
    statistics = write_statistics(folder / "statistics")
    target = folder / "base" / "1"
    assert main(["import-weights", str(file), "-o", str(target), "--statistics", str(statistics), "--json"]) == 0
    return target


@pytest.fixture
def exported(random_folder):
    return random_folder("pixel")


@pytest.fixture(params=["exported", "imported"])
def servable(request):
    return Servable(find_version(request.getfixturevalue(request.param)))


def test_every_record_runs_and_each_signature_is_warm_at_each_batch_size(servable):
    asked = []
    for signature, inputs in warmup_requests(servable.version.path / contract.WARMUP_REQUESTS, servable):
        ((name, rows),) = inputs.items()
        assert name == contract.SIGNATURES[signature][0]
        outputs = run_batch(servable, signature, inputs)
        assert outputs.keys() == servable.signature(signature).outputs.keys()
        assert {len(output) for output in outputs.values()} == {len(rows)}
        asked.append((signature, len(rows)))
    assert sorted(asked) == sorted((name, size) for name in contract.SIGNATURES for size in WARMUP_BATCH_SIZES)


def test_the_images_of_warmup_are_of_the_models_size(servable):
    """No larger than the window: warm-up is to cost little."""
    points = json.loads((servable.version.path / contract.ASSET_OPERATING_POINTS).read_text())
    size = points["input"]["size"]
    for _, inputs in warmup_requests(servable.version.path / contract.WARMUP_REQUESTS, servable):
        for image in inputs.get(contract.INPUT_IMAGE_BYTES, ()):
            assert size_of(image) == (size, size)
