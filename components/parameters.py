"""What all parameter classes share: frozen, strict, and closed to unknown keys."""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Base of every parameter class.

    A parameter class is owned by the step that it configures and composed into the one configuration of
    `pipeline.config.schema`. Instances are immutable; unknown keys, wrong types and values out of range raise
    `pydantic.ValidationError`, which `pipeline.config.schema` turns into messages that name field, rule, value and fix.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)
