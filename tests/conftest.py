"""What all tests share. Imports nothing heavy: TensorFlow comes in with the fixtures that need it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

# Before anything imports TensorFlow, as the product's own processes do: Keras 3, fast kernels, no start-up chatter.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

import pytest

from tests.support.repository import REPOSITORY

SPANS = {1: (24, 9, 8), 2: (6, 4, 4)}  # span -> images of each source in train, eval, test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where tests/conformance finds the server to check. Here, because pytest reads options from no folder below."""
    parser.addoption(
        "--mutations", type=int, default=300, metavar="N", help="mutated image files a format (default: 300)"
    )
    group = parser.getgroup("conformance", "the server that tests/conformance checks; without one it starts its own")
    group.addoption("--grpc-address", metavar="HOST:PORT", help="gRPC address of a running server")
    group.addoption("--rest-address", metavar="URL", help="REST address of a running server, http://HOST:PORT")
    group.addoption("--model-name", metavar="NAME", help="the model to ask there (default: generator_attribution)")


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """Golden data that is too large for the repository: beside it, or where GENATTR_SHARED says."""
    folder = Path(os.environ.get("GENATTR_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "reference").is_dir():
        pytest.skip(f"no golden data in {folder}; set GENATTR_SHARED to the folder that holds reference/")
    return folder


@pytest.fixture(scope="session")
def prepared_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of 32 px windows in the layout that `genattr prepare` writes, without its manifest.

    Real images are noise, fakes are noise with every pixel doubled (smooth_a) or with dark rows (stripes_b): a
    few steps of training tell them apart. Files are larger than the window; every split has two shards.
    """
    from tests.support.images import write_dataset

    folder = tmp_path_factory.mktemp("dataset")
    for span, counts in SPANS.items():
        write_dataset(folder / f"span-{span}", counts, seed=span)
    return folder


@pytest.fixture(scope="session")
def splits(prepared_dataset: Path) -> dict:
    """The splits of span 1 as trainers read them: train, eval, test."""
    from components.training.examples import read_split

    folder = prepared_dataset / "span-1"
    return {
        name: read_split(name, [str(file) for file in (folder / name).glob("*.tfrecord.gz")])
        for name in ("train", "eval", "test")
    }


@pytest.fixture(scope="session")
def analyse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the preprocessing function through Beam as Transform does: (encoded images, size) -> transform graph."""
    from functools import partial

    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

    from components.examples import names
    from components.features.preprocessing import preprocessing_fn

    def run(images: Sequence[bytes], size: int, **config: object) -> str:
        spec = {names.IMAGE_BYTES: tf.io.FixedLenFeature([1], tf.string)}
        metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
        folder = tmp_path_factory.mktemp("transform")
        rows = [{names.IMAGE_BYTES: [image]} for image in images]
        with (
            beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline,
            tft_beam.Context(temp_dir=str(folder / "temporary")),
        ):
            function = partial(preprocessing_fn, custom_config={"size": size, **config})
            transform = (pipeline | beam.Create(rows), metadata) | tft_beam.AnalyzeDataset(function)
            _ = transform | tft_beam.WriteTransformFn(str(folder / "graph"))
        return str(folder / "graph")

    return run


@pytest.fixture(scope="session")
def train_images(splits: dict) -> list[bytes]:
    """The encoded images of the train split of span 1."""
    from components.training.examples import image_bytes

    return list(image_bytes(splits["train"]).as_numpy_iterator())


@pytest.fixture(scope="session")
def transform_graph(analyse: Callable[..., str], train_images: list[bytes]) -> str:
    """The exported preprocessing graph of span 1, as the TransformGraph artifact holds it."""
    from tests.support.images import SIZE

    return analyse(train_images, SIZE)
