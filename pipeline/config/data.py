"""Parameters of what a pipeline reads: its dataset, and the sources that get a head."""

import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from components.parameters import Parameters
from pipeline.config.nodes import PRIMARY
from pipeline.config.paths import require_literal
from pipeline.config.yaml_text import as_text
from serving.contract import RESERVED_VERDICTS

Text: TypeAlias = Annotated[str, BeforeValidator(as_text)]  # a name may look like a number
DirectoryText: TypeAlias = Annotated[Text, AfterValidator(require_literal)]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # of a pipeline or a source


class DataParameters(Parameters):
    """Which prepared dataset a run reads.

    Attributes:
        dataset: folder that `genattr prepare` wrote, holding span-<N> folders. Relative to the current folder,
            not to the configuration.
        span: the span to read; None takes the newest, as a scheduled run wants.
    """

    dataset: DirectoryText = Field(min_length=1)
    span: int | None = Field(default=None, ge=0)


class SourceParameters(Parameters):
    """One source that gets a head. In YAML, the bare name is enough.

    Attributes:
        name: directory name of the source.
        span: the span that its head is trained on; None is `data.span`. A generator that came later is added with a
            span of its own, and neither the primary module nor any other head is trained again.
    """

    name: Text = Field(min_length=1, max_length=100)
    span: int | None = Field(default=None, ge=0)

    @field_validator("name")
    @classmethod
    def _usable(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("must start with a letter or digit and hold only letters, digits, '_', '.' and '-'")
        if name in (PRIMARY, *RESERVED_VERDICTS):
            raise ValueError(f"must not be '{PRIMARY}' or one of the verdicts {', '.join(RESERVED_VERDICTS)}")
        return name
