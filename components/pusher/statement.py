"""The statement that is pushed with a servable: training data, recipe and licences, from its model card."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from components.pusher.parameters import LicenceParameters
from serving.servable.trained_on import TrainedOn, TrainingSource


def training_statement(
    card: Mapping[str, Any], recipe: str | None, licences: LicenceParameters, day: date
) -> TrainedOn:
    """Return the statement of a servable.

    Args:
        card: Its model card. A source of several spans counts in the first, which is that of the primary module. The
            images and terms of a model that it was built on come first.
        recipe: Recipe of the configuration; None if it names none.
        licences: Terms that the configuration states.
        day: Day of the push.
    """
    own: dict[str, TrainingSource] = {}
    for span in card["data"]:
        for name, source in (span["sources"] or {}).items():
            if source["train"]:
                label = "fake" if source["label"] else "real"
                own.setdefault(name, TrainingSource(name, label, source["train"], licences.sources.get(name)))
    built_on = (card.get("origin") or {}).get("trained_on") or {}
    sources = {source["name"]: TrainingSource(**source) for source in built_on.get("sources", ())}
    for name, of_own in own.items():
        before = sources.get(name)
        sources[name] = of_own if before is None else _sum(before, of_own)
    licence = licences.weights or built_on.get("licence")
    return TrainedOn(card["name"], recipe, day.isoformat(), licence, tuple(sources.values()))


def _sum(first: TrainingSource, second: TrainingSource) -> TrainingSource:
    return replace(second, images=first.images + second.images, licence=second.licence or first.licence)
