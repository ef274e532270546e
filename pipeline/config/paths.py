"""Directories in a configuration: what they are relative to, and which characters they must not hold."""

from pathlib import Path

from pydantic_core import PydanticCustomError

PATTERN_ERROR = "path_pattern"  # kinds of pydantic's problems
HOME_ERROR = "path_home"

# Beam and TensorFlow list files by patterns that begin with these directories, and TFX escapes none of them.
_PATTERNS = "[]*?\\"


def pattern_in(path: str) -> str | None:
    """Return the first character of a path that acts as a pattern where files are listed; None if none does."""
    return next((character for character in path if character in _PATTERNS), None)


def require_literal(path: str) -> str:
    """Return a path as it is.

    Raises:
        PydanticCustomError: If it holds a character that acts as a pattern, or begins with a home that nobody has.
    """
    character = pattern_in(path)
    if character is not None:
        raise PydanticCustomError(
            PATTERN_ERROR,
            "must not hold '{character}': {characters} act as patterns where files are listed",
            {"character": character, "characters": " ".join(_PATTERNS)},
        )
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        home = path.partition("/")[0]
        raise PydanticCustomError(HOME_ERROR, "'{home}' must be somebody's home directory", {"home": home}) from error
    return path


def place_of(path: str) -> str:
    """Return a path of a configuration for a message: as it stands there, and where that is if it is relative."""
    expanded = Path(path).expanduser()
    if expanded.is_absolute():
        return path
    return f"{path} (relative to the current directory, not to the configuration: {expanded.absolute()})"


def note_on(path: str) -> str:
    """Return a sentence on where a relative path of a configuration leads, and a space; "" for an absolute path."""
    expanded = Path(path).expanduser()
    if expanded.is_absolute():
        return ""
    return f"The path is relative to the current directory, not to the configuration: {expanded.absolute()}. "
