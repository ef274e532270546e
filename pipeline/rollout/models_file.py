"""TF Serving's models.config as a file that is edited while servers read it: found, locked, replaced whole.

Only what this edit is about is touched: other models, and fields that the embedded server has no use for, are carried
over. Its base paths are as the server sees them (/models/generator_attribution); nothing here opens them.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving import atomic

DEFAULT_NAME = "models.config"

_POLL_SECONDS = 0.05


class ModelsFileError(Exception):
    """models.config, or what lies beside it, does not allow what was asked; the message says why and what to do."""


def read_models(path: Path) -> model_server_config_pb2.ModelServerConfig:
    """Reads a models.config file.

    Args:
        path: the file.

    Returns:
        All of it, fields that only TF Serving knows included; it lists at least one model.

    Raises:
        ModelsFileError: naming the file, and the line where it is no text form of a ModelServerConfig.
    """
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except FileNotFoundError as error:
        raise ModelsFileError(
            f"{path}: is missing. Put TF Serving's list of models there (docs/serving.md, Versions), or name it by "
            "`models_config`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelsFileError(f"{path}: cannot be read: {error}.") from error
    except text_format.ParseError as error:
        raise ModelsFileError(
            f"{path}: is no ModelServerConfig in protobuf's text form: line {error}. Correct it; nothing was changed."
        ) from error
    if not config.model_config_list.config:
        raise ModelsFileError(f"{path}: must list at least one model in model_config_list, lists none.")
    return config


def find_model(
    config: model_server_config_pb2.ModelServerConfig, path: Path, name: str
) -> model_server_config_pb2.ModelConfig:
    """Returns a model's entry, to be changed in place.

    Args:
        config: as `read_models` returns it.
        path: where it was read, for messages.
        name: what requests ask for.

    Raises:
        ModelsFileError: if there is no such model, or more than one.
    """
    models = list(config.model_config_list.config)
    found = [model for model in models if model.name == name]
    if len(found) != 1:
        names = ", ".join(model.name for model in models)
        times = "is not listed" if not found else "is listed more than once"
        raise ModelsFileError(f"{path}: model {name} {times}. Models there: {names}. Choose one by `model_name`.")
    return found[0]


def folder_of(model: model_server_config_pb2.ModelConfig) -> str:
    """Returns the name of the folder of a model's versions: the same wherever its parent is mounted."""
    return PurePosixPath(model.base_path).name


def to_text(config: model_server_config_pb2.ModelServerConfig, comments: list[str]) -> str:
    """Returns the text form of a configuration.

    Args:
        config: what to write.
        comments: lines to begin with, without the sign of a comment.
    """
    header = "".join(f"# {line}\n" for line in comments)
    return header + text_format.MessageToString(config, as_utf8=True)


@contextmanager
def locked(path: Path, patience: float = 10.0) -> Iterator[None]:
    """Keeps other edits of a file away while the context is open; servers read it meanwhile.

    The lock is on a file beside it (`.models.config.lock`), since the file itself is replaced, and goes with the
    process, however that ends. On NFS the kernel makes a byte-range lock of it that holds between machines too
    (flock(2), since Linux 2.6.12; NFSv4 brings locking along), for which the lock file has to be open for writing.

    Args:
        path: the file to edit; its folder must exist.
        patience: seconds to wait for another edit.

    Raises:
        ModelsFileError: if another edit takes longer.
        OSError: if the folder cannot be written.
    """
    beside = path.with_name(f".{path.name}.lock")
    last = time.monotonic() + patience
    with beside.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= last:
                    raise ModelsFileError(
                        f"{path}: another command has been editing it for {patience:g} s (it holds {beside.name}). "
                        "Try again when it has ended."
                    ) from error
            time.sleep(_POLL_SECONDS)
        yield


def replace_file(path: Path, content: bytes, like: Path) -> None:
    """Writes a file so that readers, and whoever comes after a crash, see the old one or the new one.

    Args:
        path: the file; the caller holds its lock.
        content: what it is to hold.
        like: an existing file whose permissions it gets: servers read it as another user.

    Raises:
        OSError: if it cannot be written; it is as before then.
    """
    with atomic.replace_file(path, sole_writer=True, durable=True) as temporary:
        temporary.touch(0o600)
        temporary.chmod(like.stat().st_mode & 0o777)
        temporary.write_bytes(content)
