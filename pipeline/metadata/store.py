"""Where TFX records what ran: a SQLite file on one machine, MySQL or MariaDB where several processes write at once."""

import os

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata

from components.errors import StepRefusedError
from pipeline.config.metadata import MetadataParameters
from pipeline.config.schema import ConfigurationError, PipelineConfig


def connection_config(config: PipelineConfig, with_password: bool = True) -> metadata_store_pb2.ConnectionConfig:
    """Returns how the metadata store is reached.

    Args:
        config: the validated configuration.
        with_password: read the password from the environment variable that the configuration names; False leaves it
            out, for what is written to a file.

    Raises:
        ConfigurationError: if the variable is not set.
    """
    store = config.metadata
    if store.kind == "sqlite":
        return metadata.sqlite_metadata_connection_config(str(config.metadata_path))
    secret = _password(store) if with_password else ""
    return metadata.mysql_metadata_connection_config(store.host, store.port, store.database, store.user, secret)


def open_store(config: PipelineConfig) -> MetadataStore | None:
    """Opens the metadata store; None where its file does not exist yet.

    Raises:
        ConfigurationError: if the password of a server is not set.
        StepRefusedError: if the server does not let us in.
    """
    if config.metadata.kind == "sqlite" and not config.metadata_path.exists():
        return None
    return _connected(config)


def create_store(config: PipelineConfig) -> None:
    """Makes the store's folder and tables where they are missing, before several processes would at once.

    Raises:
        ConfigurationError: if the password of a server is not set.
        StepRefusedError: if the server does not let us in.
    """
    if config.metadata.kind == "sqlite":
        config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    _connected(config)


def _connected(config: PipelineConfig) -> MetadataStore:
    connection = connection_config(config)
    try:
        return MetadataStore(connection)
    except RuntimeError as error:
        # ML Metadata says only that it failed: nothing of whom it asked, nor why.
        store = config.metadata
        where = str(config.metadata_path) if store.kind == "sqlite" else f"{store.host}:{store.port}"
        raise StepRefusedError(
            f"the metadata store at {where} does not answer user '{store.user}' ({error}). Check that it runs, that it "
            f"may be reached from here, and that {store.password_variable} holds its password."
            if store.kind == "mysql"
            else f"the metadata store {where} cannot be opened: {error}."
        ) from error


def _password(store: MetadataParameters) -> str:
    password = os.environ.get(store.password_variable)
    if password is None:
        raise ConfigurationError(
            f"metadata.password_variable: the environment variable {store.password_variable} is not set. Set it to the "
            f"password of user '{store.user}' at {store.host}:{store.port}."
        )
    return password
