"""Parameters of the network's layers that the paper fixes and that we leave open."""

from typing import Literal

from pydantic import Field

from components.features.parameters import InputParameters
from components.parameters import Parameters

Network = Literal["paper", "wide", "blocks"]
Precision = Literal["float32", "bfloat16", "float16"]  # of convolutions and activations in a training step


class LayerParameters(Parameters):
    """Which layers there are, how they start, and how batch normalisation averages.

    Attributes:
        network: of the primary module: "paper", as published; "wide", which sees its input at three gains,
            normalises every layer, and has up to five times the filters (see components/models/primary.py); or
            "blocks", which reads pixels as log-spectra of the 8x8 blocks of a JPEG, at two scales, and has 248,000
            weights (see components/models/blocks.py).
        initialization: "paper", normal with standard deviation 0.02 as published; or "he", scaled to the fan-in of
            each layer (He et al. 2015), which learns from hundreds of images where the former needs tens of thousands.
        batch_norm_momentum: share of the old moving statistics that a step keeps. The published 0.99 needs several
            hundred steps to settle; short trainings want less.
    """

    network: Network = "paper"
    initialization: Literal["he", "paper"] = "he"
    batch_norm_momentum: float = Field(default=0.9, gt=0.0, lt=1.0)


PAPER_LAYERS = LayerParameters(initialization="paper", batch_norm_momentum=0.99)


def require_network(inputs: InputParameters, layers: LayerParameters) -> None:
    """Refuses a network that does not read the configured input.

    Raises:
        ValueError: naming the key below a training's `layers`.
    """
    if problem := network_problem(layers.network, inputs.shape[-1], inputs.pooled):
        read = f"input.representation: {inputs.representation}, input.colour: {inputs.colour}"
        raise ValueError(f"layers.network: {problem} Configured: {read}.")


def network_problem(network: Network, channels: int, pooled: bool) -> str:
    """Returns why a network cannot read an input of that many channels; an empty string if it can.

    Args:
        network: Name of the network.
        channels: Channels of the input; 3 of a pooled one are colour pixels.
        pooled: Whether the network averages over places, as of `build_primary`.
    """
    if network != "blocks" or (channels == 3 and pooled):
        return ""
    kind = "places in an image" if pooled else "frequencies"
    return (
        f"'blocks' must read colour pixels, 3 channels of places in an image, got {channels} of {kind}. "
        "Set input.representation: pixel and input.colour: rgb, or choose network paper or wide."
    )
