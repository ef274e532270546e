"""Executor of PerturbedExamples: a Beam pipeline from one split to its perturbed copies."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from absl import logging
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils

from components.dataset.perturbed_copies import CLEAN, perturbed, smallest_side
from components.examples import names
from components.examples.reading import read_batches
from serving.decoding import decode

TOO_SMALL = "copies_too_small"  # custom property of the copies: perturbation -> number, JSON


class PerturbedExamplesExecutor(base_beam_executor.BaseBeamExecutor):
    """Reads a split, writes it with its perturbed copies."""

    def Do(  # noqa: N802 (the name is TFX's)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the copies, and counts those that came out smaller than the window, which are left out."""
        split, size = exec_properties["split"], exec_properties["size"]
        wanted = json.loads(exec_properties["perturbations"])
        written = artifact_utils.get_single_instance(output_dict["perturbed"])
        written.split_names = artifact_utils.encode_split_names([split])
        examples_utils.set_payload_format(written, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
        source = artifact_utils.get_split_uri(input_dict["examples"], split)
        target = artifact_utils.get_split_uri([written], split)
        with self._make_beam_pipeline() as pipeline:
            (
                pipeline
                | "Read" >> beam.io.ReadFromTFRecord(f"{source}/*")
                | "Perturb" >> beam.FlatMap(copies_of, perturbations=wanted, size=size)
                # Copies are made where their original was read; without it one shard's reader would write them all.
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.io.WriteToTFRecord(f"{target}/data_tfrecord", file_name_suffix=".gz")
            )
        left_out = _left_out(source, wanted, size)
        written.set_string_custom_property(TOO_SMALL, json.dumps(left_out))
        for name, count in left_out.items():
            logging.warning("%d copies by '%s' are smaller than %d px and were left out", count, name, size)


def copies_of(record: bytes, perturbations: Sequence[str], size: int) -> Iterator[bytes]:
    """Yields an example as it is, and a copy for each perturbation that leaves it as large as the window.

    Args:
        record: serialized tf.Example.
        perturbations: names.
        size: height and width of the window in pixels.
    """
    example = tf.train.Example.FromString(record)
    features = example.features.feature
    path = features[names.PATH].bytes_list.value[0].decode()
    pixels = np.asarray(decode(features[names.IMAGE_BYTES].bytes_list.value[0]))
    features[names.PERTURBATION].bytes_list.value[:] = [CLEAN.encode()]
    yield example.SerializeToString()
    for name in perturbations:
        if smallest_side(pixels.shape[0], pixels.shape[1], name) >= size:
            features[names.IMAGE_BYTES].bytes_list.value[:] = [perturbed(pixels, name, path)]
            features[names.PERTURBATION].bytes_list.value[:] = [name.encode()]
            yield example.SerializeToString()


def _left_out(source: str, perturbations: Sequence[str], size: int) -> dict[str, int]:
    """Count the images whose copy is too small, for each perturbation that shrinks images, by their stored sizes."""
    counts = dict.fromkeys(perturbations, 0)
    for batch in read_batches(list(Path(source).iterdir()), (names.HEIGHT, names.WIDTH), 1024):
        for height, width in zip(batch[names.HEIGHT], batch[names.WIDTH], strict=True):
            for name in perturbations:
                counts[name] += smallest_side(int(height), int(width), name) < size
    return {name: int(count) for name, count in counts.items() if count}
