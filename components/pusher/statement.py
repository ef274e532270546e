"""The statement that is pushed with a servable: training data, recipe and licences, from its model card."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from components.pusher.parameters import LicenceParameters
from serving.servable.trained_on import TrainedOn, TrainingSource


def training_statement(
    card: Mapping[str, Any], recipe: str | None, licences: LicenceParameters, day: date
) -> TrainedOn:
    """Return the statement of a servable.

    Args:
        card: Its model card. A source of several spans counts in the first, which is that of the primary module.
        recipe: Recipe of the configuration; None if it names none.
        licences: Terms that the configuration states.
        day: Day of the push.
    """
    sources: dict[str, TrainingSource] = {}
    for span in card["data"]:
        for name, source in (span["sources"] or {}).items():
            if source["train"]:
                label = "fake" if source["label"] else "real"
                known = TrainingSource(name, label, source["train"], licences.sources.get(name))
                sources.setdefault(name, known)
    return TrainedOn(card["name"], recipe, day.isoformat(), licences.weights, tuple(sources.values()))
