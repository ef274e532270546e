"""What is asked of which model, and what state its versions are in: the same words for both protocols."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRequest:
    """Which model, version and signature a request is for.

    Attributes:
        name: the model's name.
        version: the version, or None for the newest.
        label: a version's label, or "" for none; never given together with a version.
        signature: name of the signature; empty means `serving_default`.
    """

    name: str
    version: int | None = None
    label: str = ""
    signature: str = ""


@dataclass(frozen=True)
class VersionStatus:
    """State of one version, as ModelService reports it.

    Attributes:
        version: its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END, as TF Serving names them.
        error_code: name of a gRPC status code; "OK", or why the version could not be loaded.
        error_message: what went wrong, or "".
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""
