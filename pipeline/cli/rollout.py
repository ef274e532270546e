"""Commands about served versions: promote, rollback, retain."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE
from serving.contract import DEFAULT_MODEL_NAME

if TYPE_CHECKING:
    from pipeline.rollout.edit import Place
    from pipeline.rollout.server_status import Servers

_LABELS = """
A request that asks for a label gets the version that the label names. A request
without label or version goes to the newest version that is listed: a canary
takes those requests as soon as it is loaded. Clients that want what is proven
ask for the label stable.
"""


def add_promote(commands: Commands) -> None:
    """Add `genattr promote`."""
    parser = add_command(
        commands,
        "promote",
        "let a label of models.config name a version, while servers go on answering",
        "genattr promote runs/demo/serving newest                  the first time: pins what is served\n"
        "  genattr promote runs/demo/serving newest --label canary   offers the newest version to those who ask\n"
        "  genattr promote runs/demo/serving canary --wait http://127.0.0.1:8501",
        _promote,
    )
    parser.description = f"""{parser.description}
{_LABELS}
The file lists what labels name, and the version that stable named before, so
that a rollback finds it loaded (unless that is newer: it would take the requests
without a label). The first promote ends the policy `latest`: from then on, what
is pushed is served when it is promoted. Label canary stays when its version is
promoted, so that nobody who asks for it is refused.

Without --wait the file is edited once. TF Serving loads the version at its next
look at the file and moves the label at the first look after that. It starts with
labels only if --allow_version_labels_for_unavailable_models=true."""
    _add_place(parser)
    parser.add_argument("version", metavar="VERSION", help="number, newest, or a label for what it names, e.g. canary")
    parser.add_argument("--label", default="stable", help="the label to move (default stable)")
    _add_waiting(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _promote(options: argparse.Namespace) -> int:
    """Let a label of models.config name a version."""
    from pipeline.rollout.labels import promote

    output.outcome(options, promote(_place(options), options.version, options.label, _servers(options)))
    return DONE


def add_rollback(commands: Commands) -> None:
    """Add `genattr rollback`."""
    parser = add_command(
        commands,
        "rollback",
        "let a label of models.config name what it named before",
        "genattr rollback runs/demo/serving\n  genattr rollback runs/demo/serving --label canary",
        _rollback,
    )
    parser.description = f"""{parser.description}
{_LABELS}
The first one finds its version loaded. Once more goes one move further back, and
has that version loaded again, as far as models.history.json beside the file goes;
without it, to the next lower version that is listed. A label that its last move
made is removed, unless it is stable. What no label names any more is unloaded. A
canary stays: roll it back too, or it goes on taking the requests without a label."""
    _add_place(parser)
    parser.add_argument("--label", default="stable", help="the label to move back (default stable)")
    _add_waiting(parser)
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _rollback(options: argparse.Namespace) -> int:
    """Let a label of models.config name what it named before."""
    from pipeline.rollout.labels import roll_back

    output.outcome(options, roll_back(_place(options), options.label, _servers(options)))
    return DONE


def add_retain(commands: Commands) -> None:
    """Add `genattr retain`."""
    parser = add_command(
        commands,
        "retain",
        "remove old versions that nobody serves",
        "genattr retain runs/demo/serving/generator_attribution --keep 5 --dry-run",
        _retain,
    )
    parser.description = f"""{parser.description}

Kept in any case: the newest, what models.config lists, labels or takes by its
policy, and what is younger than --min-age-hours. If the file cannot be read,
nothing is removed. What is no complete version is left alone."""
    parser.add_argument(
        "folder", metavar="VERSIONS_DIR", type=Path, help="folder that holds <version>/, e.g. DIR/generator_attribution"
    )
    parser.add_argument("--keep", type=int, required=True, metavar="N", help="how many of the newest, at least 1")
    parser.add_argument(
        "--min-age-hours",
        type=float,
        default=24.0,
        metavar="H",
        help="younger versions stay (default 24); counted from the push, which the number says, or the folder's time",
    )
    parser.add_argument(
        "--models-config",
        type=Path,
        metavar="FILE",
        help="must be there if named (default: models.config beside VERSIONS_DIR, if there is one)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def _retain(options: argparse.Namespace) -> int:
    """Remove old versions that nobody serves."""
    from pipeline.rollout.retention import RetentionParameters, retain

    parameters = RetentionParameters(options.keep, options.min_age_hours, options.models_config)
    output.outcome(options, retain(options.folder, parameters, options.dry_run))
    return DONE


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "serving",
        metavar="SERVING_DIR",
        type=Path,
        help="folder that holds models.config and the folder of versions, as this command sees it; base paths in the "
        "file are as the server sees them",
    )
    parser.add_argument(
        "--models-config", type=Path, metavar="FILE", help="(default: models.config in SERVING_DIR); edited in place"
    )
    parser.add_argument(
        "--model-name",
        default=DEFAULT_MODEL_NAME,
        metavar="NAME",
        help=f"the model in the file (default {DEFAULT_MODEL_NAME})",
    )


def _add_waiting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        action="append",
        default=[],
        metavar="URL",
        dest="addresses",
        help="REST address of a server (each replica its own; may be repeated): the version is listed, the label is "
        "moved when all of them answer with it, and the command ends when the label is in force",
    )
    parser.add_argument(
        "--wait-seconds",
        type=float,
        default=300.0,
        metavar="S",
        dest="seconds",
        help="for each of these steps (default 300); a version that does not load leaves the file as it was",
    )


def _place(options: argparse.Namespace) -> "Place":
    from pipeline.rollout.edit import Place

    return Place(options.serving, options.models_config, options.model_name)


def _servers(options: argparse.Namespace) -> "Servers | None":
    """Return the servers to wait for, None if none were named."""
    from pipeline.rollout.server_status import Servers

    return Servers(options.addresses, options.seconds, report=output.remark) if options.addresses else None
