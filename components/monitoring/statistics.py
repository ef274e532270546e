"""Statistics of logged or judged images, as TensorFlow Data Validation makes, stores and compares them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.monitoring.classes import classes_of
from serving.request_log.columns import ImageColumns
from serving.request_log.entries import Answered

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

# More than any column has; verdicts are names of sources.
_MOST_CLASSES = 5000


def statistics_of(rows: Iterable[tuple[ImageColumns, Answered | None]]) -> Statistics:
    """Makes the statistics of some images.

    Args:
        rows: what was measured and what was answered; without an answer, a row counts in the image's columns alone.

    Returns:
        A feature of strings for each column: the classes that its values fall into (classes.py), and their counts.

    Raises:
        ValueError: if there are no rows.
    """
    table = pd.DataFrame([classes_of(image, answer) for image, answer in rows], dtype=object)
    if table.empty:
        raise ValueError("rows: must be at least one, got none.")
    options = tfdv.StatsOptions(num_top_values=_MOST_CLASSES, num_rank_histogram_buckets=_MOST_CLASSES)
    return tfdv.generate_statistics_from_dataframe(table.where(table.notna(), None), options)


def class_counts(statistics: Statistics) -> dict[str, dict[str, int]]:
    """Returns how many images fall into each class of each column; columns without any value are left out."""
    (dataset,) = statistics.datasets
    counts = {
        feature.path.step[0]: {
            bucket.label: round(bucket.sample_count) for bucket in feature.string_stats.rank_histogram.buckets
        }
        for feature in dataset.features
    }
    return {column: classes for column, classes in counts.items() if classes}


def row_count(statistics: Statistics) -> int:
    """Returns how many images the statistics are of."""
    (dataset,) = statistics.datasets
    return int(dataset.num_examples)


def write_statistics(statistics: Statistics, path: Path) -> None:
    """Writes a file that `tfdv.load_stats_binary` reads too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(statistics.SerializeToString(deterministic=True))


def read_statistics(path: Path) -> Statistics:
    """Reads what `write_statistics` wrote.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds no such statistics.
    """
    statistics = Statistics()
    try:
        statistics.ParseFromString(path.read_bytes())
        known = len(statistics.datasets) == 1 and bool(class_counts(statistics))
    except OSError:
        raise
    except Exception as error:  # protobuf's DecodeError is not the same class in all of its implementations
        raise ValueError(f"{path}: holds no reference statistics, or is damaged: {error}") from error
    if not known:
        raise ValueError(
            f"{path}: holds no reference statistics. Name a servable, or its {path.name}, that `genattr run` made."
        )
    return statistics
