"""Parameters of the metadata store. Nothing heavy is imported here."""

from typing import Literal

from pydantic import Field, model_validator

from components.parameters import Parameters


class MetadataParameters(Parameters):
    """Where TFX records executions and artifacts.

    Attributes:
        kind: "sqlite", a file below `output_root`, for one machine; "mysql", a MySQL or MariaDB server, which several
            pods can write to at once (SQLite locks on a shared volume).
        host: name or address of the server.
        port: of the server.
        database: must exist; its tables are made by the first run.
        user: may create tables in it.
        password_variable: environment variable that holds the password. The password itself stands in no file.
    """

    kind: Literal["sqlite", "mysql"] = "sqlite"
    host: str = ""
    port: int = Field(default=3306, ge=1, le=65535)
    database: str = Field(default="metadata", min_length=1, max_length=64)
    user: str = Field(default="pipeline", min_length=1, max_length=80)
    password_variable: str = Field(default="GENATTR_METADATA_PASSWORD", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    @model_validator(mode="after")
    def _servers_have_a_host(self) -> "MetadataParameters":
        if self.kind == "mysql" and not self.host:
            raise ValueError("host: is required with kind 'mysql'. Name the server, e.g. metadata-store.")
        return self
