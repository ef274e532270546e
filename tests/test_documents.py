"""The Markdown files: every link leads somewhere, and every command and option that they give exists."""

import argparse
import re
from pathlib import Path

import pytest

from pipeline.cli.parser import build_parser
from tests.support.repository import REPOSITORY

PATTERNS = ("*.md", "docs/*.md", "k8s/*.md", "benchmarks/*.md", "models/*.md", "models/*/*.md")
DOCUMENTS = sorted(path for pattern in PATTERNS for path in REPOSITORY.glob(pattern))
NAMES = [path.relative_to(REPOSITORY).as_posix() for path in DOCUMENTS]


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} +(.+)$", without_blocks(path.read_text()), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere(document):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(document.read_text())):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def unknown(words: list[str]) -> list[str]:
    """Words of a `genattr` command line, in whole or in part, that are no command or no option of it."""
    parsers = [build_parser()]
    while words and not words[0].startswith("-") and (commands := subcommands(parsers[0])):
        names, *words = words
        if missing := [name for name in names.split("|") if name not in commands]:
            return missing
        parsers = [commands[name] for name in names.split("|")]
    options = {option for parser in parsers for option in parser._option_string_actions}
    return [word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word) and word not in options]


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_commands_and_their_options_exist(document):
    text = re.sub(r"\\\n", " ", document.read_text()).replace("\\|", "|")
    given = re.findall(r"(?:`|^ *|&& |(?<=\w) \| )genattr +([^`&\n]*)", text, re.MULTILINE)
    wrong = [word for line in given for word in unknown(re.split(r"[,;]? +#| {3,}| \| ", line)[0].split())]
    assert wrong == []


def test_the_documents_are_found():
    assert {"README.md", "docs/serving.md", "k8s/README.md", "benchmarks/README.md"} <= set(NAMES)


def test_what_is_no_command_and_no_option_is_found():
    assert unknown(["sources", "add|remove"]) == ["remove"]
    assert unknown(["run", "x.yaml", "--unheard"]) == ["--unheard"]
