"""How a Kubeflow Pipelines API server is reached: address, namespace, token, authority; checked before it is asked."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 (KFP's own name for where a token lies; no token)
_LONGEST_NAME = 255  # what its database keeps


@dataclass(frozen=True)
class Connection:
    """How a Kubeflow Pipelines API server is reached.

    Attributes:
        host: its address, e.g. https://kubeflow.example.com/pipeline.
        namespace: the user's, where Kubeflow has several users; None elsewhere.
        token_file: file that holds a bearer token. It is read anew for each request, because tokens that Kubernetes
            writes expire. None takes the file that KF_PIPELINES_SA_TOKEN_PATH names, if it is set.
        authority: PEM file of the authorities to trust; None trusts those that certifi lists.

    Raises:
        ValueError: if any of them cannot be used.
    """

    host: str
    namespace: str | None = None
    token_file: Path | None = None
    authority: Path | None = None

    def __post_init__(self) -> None:
        if self.token_file is None and os.environ.get(TOKEN_FILE_VARIABLE):
            object.__setattr__(self, "token_file", Path(os.environ[TOKEN_FILE_VARIABLE]))
        object.__setattr__(self, "host", self.host.rstrip("/"))
        _check_host(self.host)
        if self.namespace is not None and not self.namespace:
            raise ValueError("namespace: must not be empty, got ''. Name the namespace of your Kubeflow profile.")
        if self.token_file is not None:
            _check_token(self.token_file)
        if self.authority is not None:
            _check_authority(self.authority)


def _check_host(host: str) -> None:
    example = "Write e.g. https://kubeflow.example.com/pipeline."
    try:
        parts = urlsplit(host)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in host):
        raise ValueError(f"host: must be an http:// or https:// address, got {host!r}. {example}")
    if parts.username or parts.password:
        raise ValueError("host: must hold no user or password. Put a token into a file, and name it by `token_file`.")
    if parts.query or parts.fragment:
        raise ValueError(f"host: must end with its path, got {host!r}. Leave out what follows ? or #. {example}")


def _check_token(file: Path) -> None:
    """Refuses a file that cannot be a token; its content is never shown."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise ValueError(f"token_file: {file}: must hold a token, found other bytes. Name the right file.") from None
    except OSError as error:
        raise ValueError(
            f"token_file: {file}: cannot be read: {error.strerror}. Name a file that you may read."
        ) from error
    if not token or any(character.isspace() or not character.isprintable() for character in token):
        found = "several words or lines" if token else "nothing"
        raise ValueError(f"token_file: {file}: must hold one token, found {found}. Write the token alone into it.")


def _check_authority(file: Path) -> None:
    import ssl

    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or "no certificate in it"
        raise ValueError(
            f"authority: {file}: must be a PEM file of certificates: {reason}. Name the authority's certificate."
        ) from error


def check_names(**names: str | None) -> None:
    """Refuses names that Kubeflow could not keep, or show; those that are None were not given.

    Args:
        **names: Names by parameter.

    Raises:
        ValueError: if one is empty, too long, or has spaces at its ends.
    """
    for parameter, name in names.items():
        if name is not None and (not 1 <= len(name) <= _LONGEST_NAME or name != name.strip() or not name.isprintable()):
            raise ValueError(
                f"{parameter}: must be 1 to {_LONGEST_NAME} printable characters, without spaces at "
                f"the ends, got {name!r}. Choose another name."
            )
