"""What the card of a servable says of the model that its primary module comes from."""

from collections.abc import Collection, Mapping
from typing import Any

_PRIMARY = "primary"


def with_origin(card: Mapping[str, Any], origin: Mapping[str, Any], heads: Collection[str]) -> dict[str, Any]:
    """Return a card with the model that its primary module comes from.

    Args:
        card: Card as `build_card` returns it.
        origin: Content of origin.json of the primary module: {"model", "version", "trained_on", "taken"}.
        heads: Heads that were taken from that model; they were not measured on the images at hand.

    Returns:
        The card with `origin`, and with a limit in words; its data name no module that was taken as trained on them.
    """
    name = f"{origin['model']}, version {origin['version']}"
    what = "is taken from" if origin["taken"] else "was trained on from"
    limit = f"The primary module {what} {name}: the terms of its weights and of their images hold here."
    if heads:
        limit += (
            f" So do the heads {', '.join(sorted(heads))}; their figures stand in its card, none was measured here."
        )
    taken = {*heads, *([_PRIMARY] if origin["taken"] else [])}
    data = [{**span, "models": [model for model in span["models"] if model not in taken]} for span in card["data"]]
    return {**card, "data": data, "origin": dict(origin), "known_limits": [*card["known_limits"], limit]}
