"""The known limits of a model card: sentences that follow from the data and the figures, not from opinion."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from serving.servable.acceptance import Acceptance

# Below this many test images of either class a figure moves by whole percents when one image does.
FEW_TEST_IMAGES = 100
FEW_TRAINING_IMAGES = 200
_CHANCE = 0.5


def known_limits(
    inputs: Mapping[str, Any],
    spans: Iterable[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    left_out: Sequence[str],
    uncertain_band: tuple[float, float] | None = None,
) -> list[str]:
    """Returns what a user of a servable must know of it.

    Args:
        inputs: what the models see: representation, colour and size.
        spans: the card's section `data`: one entry a span of the dataset.
        models: the card's section `models`, the primary module first.
        left_out: sources whose head was not blessed.
        uncertain_band: lowest and highest probability of the primary module at which the verdict is "uncertain".

    Returns:
        Sentences, the general ones first.
    """
    spans = list(spans)
    return [
        *_of_the_input(inputs),
        *_of_the_verdict(models, left_out),
        *_of_the_band(models, uncertain_band),
        *_of_the_data(spans),
        *_of_the_figures(models),
    ]


def limit_of_acceptance(acceptance: Acceptance) -> str:
    """Return the sentence on what an acceptance threshold, or its absence, means for a user."""
    if acceptance.threshold is None:
        return (
            f"An acceptance threshold on {acceptance.score} was configured, but none could be chosen: "
            f"{acceptance.note}. Each head's own threshold decides which generator is named."
        )
    share = acceptance.known_rejection
    cost = "" if share is None else f"; up to {share:.3g} of the eval split's images of known generators fell below it"
    return (
        f"A fake image of which the {acceptance.score} of all heads is below {acceptance.threshold:.4g} is called "
        f"unknown_generator, whatever a head claims{cost}."
    )


def _of_the_input(inputs: Mapping[str, Any]) -> list[str]:
    size = inputs["size"]
    if views := inputs.get("views"):
        return [
            "An image of which a side is below 64 pixels is refused. One that is smaller than "
            f"{size} x {size} pixels is judged as it is; of a larger one up to {views} windows of {size} x {size} "
            "pixels, evenly spread, are judged at native resolution: the rest of an image that they do not cover is "
            "not looked at.",
        ]
    return [
        f"An image of which a side is below {size} pixels is refused. Of a larger one the window of {size} x {size} "
        "pixels at the centre is judged, at native resolution; the rest of the image is not looked at.",
    ]


def _of_the_verdict(models: Sequence[Mapping[str, Any]], left_out: Sequence[str]) -> list[str]:
    heads = [model["name"] for model in models if model["task"] == "attribution"]
    known = ", ".join(heads) or "none"
    limits = [
        f"It names these generators and no others: {known}. What another generator made is at best called "
        "unknown_generator; images of a generator that was not in training may also be called real."
    ]
    if left_out:
        limits.append(
            f"Heads were trained for {', '.join(left_out)} too, but were not blessed: these generators are not named."
        )
    return limits


def _of_the_band(models: Sequence[Mapping[str, Any]], band: tuple[float, float] | None) -> list[str]:
    if band is None:
        return []
    lowest, highest = band
    limits = [
        f"An image with a fake probability from {lowest:g} to {highest:g} is called uncertain, whatever heads say: a "
        "person should look at it. Rates at a threshold, here and in reports, do not leave such images out."
    ]
    threshold = next(model["operating_point"]["threshold"] for model in models if model["task"] == "detection")
    if not lowest <= threshold <= highest:
        limits.append(
            f"The threshold of detection, {threshold:.4f}, lies outside this band: images close to it are still called "
            "real or fake."
        )
    return limits


def _of_the_data(spans: Sequence[Mapping[str, Any]]) -> list[str]:
    limits = []
    for span in spans:
        name = f"span {span['span']}"
        if span["sources"] is None:
            limits.append(f"The manifest of {name} was not there: what its images are is not known here.")
            continue
        few = [
            f"{source} ({counts['train']})"
            for source, counts in span["sources"].items()
            if 0 < counts["train"] < FEW_TRAINING_IMAGES
        ]
        if few:
            limits.append(f"Fewer than {FEW_TRAINING_IMAGES} training images in {name} of {', '.join(few)}.")
        real = [source for source, counts in span["sources"].items() if counts["label"] == 0 and counts["train"]]
        limits.append(
            f"What camera-made means was learnt in {name} from {', '.join(real) or 'no source'} alone; other cameras, "
            "subjects and processing may be judged otherwise."
        )
        limits.extend(f"In {name}: {warning}" for warning in span["warnings"])
        perturbed = span["preparation"].get("perturb", "none")
        limits.append(
            f"Images of {name} were not perturbed: the figures here say nothing of images that were saved again, "
            "resized or blurred."
            if perturbed == "none"
            else f"Images of {name} were perturbed ({perturbed}); the figures hold for a mixture of such images."
        )
    return limits


def _of_the_figures(models: Sequence[Mapping[str, Any]]) -> list[str]:
    few, chance, unmeasured, fallen_back = [], [], [], []
    uncalibrated = [model["name"] for model in models if _not_calibrated(model["calibration"])]
    for model in models:
        if model["operating_point"]["note"].startswith("fell back"):
            fallen_back.append(model["name"])
        if model["figures"] is None:
            unmeasured.append(model["name"])
            continue
        overall = model["figures"]["overall"]
        positives, negatives = overall["positives"], overall["images"] - overall["positives"]
        if min(positives, negatives) < FEW_TEST_IMAGES:
            few.append(f"{model['name']} ({positives} positive, {negatives} negative)")
        if overall["roc_auc"]["low"] is not None and overall["roc_auc"]["low"] <= _CHANCE:
            chance.append(model["name"])
    limits = []
    if few:
        limits.append(
            f"Fewer than {FEW_TEST_IMAGES} test images of a class for {', '.join(few)}: read each figure with its "
            "interval."
        )
    if chance:
        limits.append(f"The test images do not show that {', '.join(chance)} is better than chance.")
    if fallen_back:
        limits.append(
            f"No threshold could be chosen for {', '.join(fallen_back)}: it is the one that was fallen back to."
        )
    if uncalibrated:
        limits.append(
            f"Probabilities of {', '.join(uncalibrated)} are not calibrated: they order images, but are no shares of "
            "cases."
        )
    if unmeasured:
        limits.append(f"Of {', '.join(unmeasured)} there are no scores on test images.")
    return limits


def _not_calibrated(calibration: Mapping[str, Any] | None) -> bool:
    return calibration is None or (calibration["scale"], calibration["shift"]) == (1.0, 0.0)
