"""What the report shows of a run as a whole: outcome, data, spectra, verdicts, nodes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.report import images
from pipeline.report.data import DataReport, NodeRun, RunReport
from pipeline.report.model_view import ModelView
from pipeline.report.plot_style import Plot
from pipeline.report.plots import radial_plot
from pipeline.report.text import count, duration, number
from pipeline.report.wild import WildFigures

SAMPLES_PER_SOURCE = 6
SAMPLES_IN_ALL = 240
# Side of a spectrum in pixels by number of sources, so that a report stays a few megabytes.
SPECTRUM_SIDES = ((12, 256), (48, 128), (10**9, 64))

_HEADLINES = {"pushed": "Pushed", "stopped": "Stopped", "failed": "Failed"}


@dataclass(frozen=True)
class SourceData:
    """One source in the data set: images by split in the order of `DataView.splits`, total, formats in words."""

    name: str
    label: int | None
    counts: tuple[int, ...]
    total: int
    formats: str
    samples: tuple[str | None, ...]  # data URIs; None where the bytes are no image


@dataclass(frozen=True)
class DataView:
    """The data set, ready to be written; `totals` are the counts of real, fake and all images by split, then in all."""

    splits: tuple[str, ...]
    sources: tuple[SourceData, ...]
    totals: tuple[tuple[str, tuple[int, ...]], ...]
    rejected: int
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class SpectraView:
    """The spectra, ready to be written.

    Attributes:
        pictures: Spectra, and their differences from real images.
        radial: Plot of the radial profiles, and of their differences from that of real images.
        sources: Name and label of each source.
        real: Whether there was a real source to compare with.
    """

    pictures: images.SpectrumPictures
    radial: tuple[Plot, ...]
    sources: tuple[tuple[str, int | None], ...]
    real: bool


def headline(report: RunReport) -> str:
    """Returns the outcome in words: what happened, and where it did not go through, whether anything was pushed."""
    word = _HEADLINES[report.outcome]
    if report.outcome == "pushed":
        return word
    return f"{word} after the push" if report.servable else f"{word}: nothing was pushed"


def tiles(report: RunReport, views: Sequence[ModelView], wild: WildFigures | None = None) -> list[tuple[str, str, str]]:
    """Returns the figures at the top of the report, that of the wild first: name, value, explanation."""
    shown = []
    if wild is not None:
        low, high = wild.interval
        mixed = f"images as they are and {len(wild.kinds) - 1} kinds of copies mixed"
        shown.append(
            ("Detection in the wild", number(wild.roc_auc), f"{mixed}; 95 % interval {number(low)} to {number(high)}")
        )
    detection = next((view for view in views if view.report.task == "detection"), None)
    heads = [view for view in views if view.report.task == "attribution"]
    if detection is not None:
        low, high = detection.interval
        interval = f"95 % interval {number(low)} to {number(high)}" if not math.isnan(low) else "real against fake"
        shown.append(("Detection ROC-AUC", number(detection.figures.get("roc_auc")), interval))
    if heads:
        areas = [(view.figures.get("roc_auc", math.nan), view.report.name) for view in heads]
        known = [(area, name) for area, name in areas if not math.isnan(area)]
        if known:
            shown.append(("Weakest head's ROC-AUC", number(min(known)[0]), min(known)[1]))
        blessed = sum(view.report.blessed is True for view in heads)
        shown.append(("Heads blessed", f"{blessed} of {len(heads)}", "only blessed heads are served"))
    if report.data is not None:
        total = sum(sum(sources.values()) for sources in report.data.counts.values())
        names = {source for sources in report.data.counts.values() for source in sources}
        span = "" if report.data.span is None else f", span {report.data.span}"
        shown.append(("Images", count(total), f"{len(names)} sources{span}"))
    known_times = [node.seconds for node in report.nodes if node.seconds is not None]
    if known_times:
        cached = sum(node.state == "cached" for node in report.nodes)
        shown.append(("Time in nodes", duration(sum(known_times)), f"{cached} of {len(report.nodes)} nodes from cache"))
    return shown


def data_view(data: DataReport) -> DataView:
    """Prepares the data set: sources in order of label, then name."""
    names = {source for sources in data.counts.values() for source in sources} | set(data.labels) | set(data.samples)
    ordered = _ordered(names, data.labels)
    splits = tuple(data.counts)
    per_source = max(1, min(SAMPLES_PER_SOURCE, SAMPLES_IN_ALL // max(len(ordered), 1)))
    sources = []
    for name in ordered:
        counts = tuple(int(data.counts[split].get(name, 0)) for split in splits)
        formats = ", ".join(f"{kind} {count(n)}" for kind, n in sorted(data.formats.get(name, {}).items()))
        samples = tuple(images.sample_picture(sample) for sample in list(data.samples.get(name, ()))[:per_source])
        sources.append(SourceData(name, data.labels.get(name), counts, sum(counts), formats, samples))
    totals = []
    for title, labels in (("all real", {0}), ("all fake", {1}), ("all", {0, 1, None})):
        columns = [(*s.counts, s.total) for s in sources if s.label in labels]
        totals.append((title, tuple(sum(column) for column in zip(*columns, strict=True)) or (0,) * (len(splits) + 1)))
    return DataView(splits, tuple(sources), tuple(totals), sum(data.rejected.values()), tuple(_data_cautions(data)))


def spectra_view(data: DataReport) -> SpectraView | None:
    """Prepare the spectra; None if there are none.

    Raises:
        ValueError: As `images.mean_real_spectrum`.
    """
    if not data.spectra:
        return None
    ordered = {source: data.spectra[source] for source in _ordered(set(data.spectra), data.labels)}
    side = next(side for most, side in SPECTRUM_SIDES if len(ordered) <= most)
    real = images.mean_real_spectrum(ordered, data.labels)
    profiles = {source: images.radial_profile(spectrum) for source, spectrum in ordered.items()}
    radial = [
        radial_plot(
            profiles, data.labels, "mean log |DCT|", "radial", "Radial profile of the mean DCT spectrum of every source"
        )
    ]
    if real is not None:
        baseline = images.radial_profile(real)
        differences = {source: profile - baseline for source, profile in profiles.items()}
        words = "Difference of every source's radial profile from that of real images"
        radial.append(radial_plot(differences, data.labels, "difference from real", "radial-difference", words))
    pictures = images.spectrum_pictures(ordered, data.labels, side)
    sources = tuple((source, data.labels.get(source)) for source in ordered)
    return SpectraView(pictures, tuple(radial), sources, real is not None)


def node_rows(nodes: Sequence[NodeRun]) -> list[tuple[NodeRun, float]]:
    """Returns every node with the length of its bar, 0..1 of the longest."""
    longest = max((node.seconds or 0.0 for node in nodes), default=0.0) or 1.0
    return [(node, (node.seconds or 0.0) / longest) for node in nodes]


def _ordered(sources: set[str], labels: Mapping[str, int]) -> list[str]:
    return sorted(sources, key=lambda source: (labels.get(source, 2), source))


def _data_cautions(data: DataReport) -> list[str]:
    notes = list(data.warnings)
    unlabelled = {source for sources in data.counts.values() for source in sources} - set(data.labels)
    if unlabelled:
        notes.append(f"Neither real nor fake is known of: {', '.join(sorted(unlabelled))}.")
    return notes
