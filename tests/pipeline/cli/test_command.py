"""Names of parameters in messages, as the command line spells them."""

import argparse
from pathlib import Path

import pytest

from pipeline.cli.command import add_command, name_flags
from pipeline.cli.main import guarded, main
from pipeline.cli.output import BAD_USAGE, FAILED
from pipeline.cli.parser import build_parser


@pytest.fixture
def options():
    parser = argparse.ArgumentParser()
    command = add_command(parser.add_subparsers(), "paint", "paint images", "genattr paint", lambda options: 0)
    command.add_argument("images", metavar="IMAGES", type=Path)
    command.add_argument("-o", "--output", type=Path)
    command.add_argument("--tls-cert", dest="tls_certificate")
    command.add_argument("--skip-first-row", action=argparse.BooleanOptionalAction)
    command.add_argument("--train")
    return parser.parse_args(["paint", "photos"])


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("train: must be at least 1, got 0.", "--train: must be at least 1, got 0."),
        ("tls_certificate: is missing.", "--tls-cert: is missing."),
        ("output: exists.", "--output: exists."),
        ("skip_first_row: must be true.", "--skip-first-row: must be true."),
        ("images: must be a directory.", "IMAGES: must be a directory."),
        ("train, output: are too many.", "--train, --output: are too many."),
        ("photos: is empty.\ntrain: is 0.", "photos: is empty.\n--train: is 0."),
        ("photos: is empty. Name `images`, or lower `train`.", "photos: is empty. Name IMAGES, or lower --train."),
    ],
)
def test_parameters_get_the_names_of_the_command_line(options, message, shown):
    assert name_flags(message, options) == shown


@pytest.mark.parametrize(
    "message",
    [
        "a/train: is no file.",
        "train.epochs: must be at least 1.",
        "colour: is no parameter.",
        "train, colour: are not both parameters.",
        "train that: no parameter is named before a colon.",
        "Start one with `genattr train`.",
    ],
)
def test_whatever_else_a_message_says_is_left_alone(options, message):
    assert name_flags(message, options) == message


def test_a_path_that_is_spelled_like_a_parameter_stays_a_path(options):
    options.images = Path("images")
    assert name_flags("images: is no directory.", options) == "images: is no directory."


def test_actions_of_a_command_have_flags_of_their_own():
    options = build_parser().parse_args(["sources", "add", "demo.yaml", "newgan_demo"])
    assert name_flags("Give its images by `images`, or a `span`.", options) == (
        "Give its images by --images, or a --span."
    )
    assert name_flags("source: must be named.", options) == "NAME: must be named."


@pytest.mark.parametrize(("error", "code"), [(ValueError, BAD_USAGE), (OSError, FAILED)])
def test_every_error_of_a_command_names_its_flags(options, capsys, error, code):
    def fail(_):
        raise error("train: must be at least 1. Raise `train`.")

    options.verbose = False
    assert guarded(fail, options) == code
    assert capsys.readouterr().err == "genattr: --train: must be at least 1. Raise --train.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "a", "b", "--train", "0.9"], "--train, --eval, --test: fractions must sum to at most 1"),
        (["retain", "versions", "--keep", "0"], "--keep: must be at least 1, got 0"),
        (["retain", "versions", "--keep", "1", "--min-age-hours", "-1"], "--min-age-hours: must be at least 0, got -1"),
        (["promote", "d", "1", "--wait", "localhost"], "--wait: must be the REST address of a server"),
        (["promote", "d", "1", "--wait", "http://a", "--wait-seconds", "0"], "--wait-seconds: must be greater than 0"),
        (["serve", "d", "--grpc-port", "7", "--rest-port", "7"], "--rest-port: must"),
        (["arrange", "ganfp", "d"], "OUT: is missing"),
    ],
)
def test_libraries_name_parameters_and_users_read_flags(words, message, capsys):
    assert main(words) == BAD_USAGE
    assert f"genattr: {message}" in capsys.readouterr().err
