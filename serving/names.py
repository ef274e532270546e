"""Names of files, and messages of any origin, as text for people and for spreadsheets.

A name on Linux is bytes. Python keeps those that are not UTF-8 as lone surrogates, which no encoding writes; control
characters in a name move the cursor of a terminal, and a newline ends a record.
"""

import os
import re
import unicodedata

_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}
_JOINERS = "\u200c\u200d"  # letters of Persian and Indic names, and emojis, are joined by them
_HIDDEN = (
    "Cc",
    "Cf",
    "Cs",
    "Zl",
    "Zp",
)  # control, format (also right to left), surrogate, line and paragraph separators
_FORMULA = ("=", "+", "-", "@")


def printable(name: str | os.PathLike[str]) -> str:
    r"""Return a name for people: one line that leaves a terminal as it was, and from which the name can be found again.

    Args:
        name: Name or path.

    Returns:
        The name, in which control characters are written as \n, \t, \r, \xNN or \uNNNN, bytes that are not UTF-8 as
        \xNN, and a backslash as \\. Between $' and ' a shell reads it back.
    """
    # A byte 0xNN that is not UTF-8 is the surrogate U+DCNN.
    return "".join(_escaped(character) for character in os.fspath(name))


def safe_text(message: str) -> str:
    """Return a message of any origin for a terminal: as `printable`, but its lines and backslashes stay."""
    return "".join(character if character in "\n\t\\" else _escaped(character) for character in message)


def spreadsheet_path(path: str | os.PathLike[str]) -> str:
    """Return a path for a cell: as `printable`; where it would be a formula, with ./ before it, the same path."""
    text = printable(path)
    return f"./{text}" if text.startswith(_FORMULA) else text


def spreadsheet_text(text: str) -> str:
    """Return any other text for a cell: as `safe_text`; where it would be a formula, with an apostrophe before it."""
    text = safe_text(text)
    return f"'{text}" if re.match(r"[=+\-@\t\r]", text) else text


def shortened(message: str, most: int = 2000) -> str:
    """Return a message of at most about `most` characters: errors of libraries may repeat the data that they are about.

    Args:
        message: Any text.
        most: Number of characters to keep; of a longer text three quarters are its start, the rest its end.
    """
    if len(message) <= most:
        return message
    start, end = message[: most * 3 // 4], message[len(message) - most // 4 :]
    return f"{start} ... [{len(message) - most:,} characters left out] ... {end}"


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if unicodedata.category(character) not in _HIDDEN or character in _JOINERS:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
