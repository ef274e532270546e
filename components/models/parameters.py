"""Parameters of the network's layers that the paper fixes and that we leave open."""

from typing import Literal

from pydantic import Field

from components.parameters import Parameters

Network = Literal["paper", "wide"]
Precision = Literal["float32", "bfloat16", "float16"]  # of convolutions and activations in a training step


class LayerParameters(Parameters):
    """Which layers there are, how they start, and how batch normalisation averages.

    Attributes:
        network: of the primary module: "paper", as published; or "wide", which sees its input at three gains,
            normalises every layer, and has up to five times the filters. See components/models/primary.py.
        initialization: "paper", normal with standard deviation 0.02 as published; or "he", scaled to the fan-in of
            each layer (He et al. 2015), which learns from hundreds of images where the former needs tens of thousands.
        batch_norm_momentum: share of the old moving statistics that a step keeps. The published 0.99 needs several
            hundred steps to settle; short trainings want less.
    """

    network: Network = "paper"
    initialization: Literal["he", "paper"] = "he"
    batch_norm_momentum: float = Field(default=0.9, gt=0.0, lt=1.0)


PAPER_LAYERS = LayerParameters(initialization="paper", batch_norm_momentum=0.99)
