"""What the commands about served versions do, once their arguments are parsed."""

import argparse
from typing import TYPE_CHECKING

from pipeline.cli import console
from pipeline.cli.commands import DONE, tell

if TYPE_CHECKING:
    from pipeline.rollout.edit import Place
    from pipeline.rollout.server_status import Servers


def promote(options: argparse.Namespace) -> int:
    """Lets a label of models.config name a version."""
    from pipeline.rollout.labels import promote as promote_version

    tell(options, promote_version(_place(options), options.version, options.label, _servers(options)))
    return DONE


def rollback(options: argparse.Namespace) -> int:
    """Lets a label of models.config name what it named before."""
    from pipeline.rollout.labels import roll_back

    tell(options, roll_back(_place(options), options.label, _servers(options)))
    return DONE


def retain(options: argparse.Namespace) -> int:
    """Removes old versions that nobody serves."""
    from pipeline.rollout.retention import RetentionParameters
    from pipeline.rollout.retention import retain as remove_old_versions

    parameters = RetentionParameters(options.keep, options.min_age_hours, options.models_config)
    tell(options, remove_old_versions(options.folder, parameters, options.dry_run))
    return DONE


def _place(options: argparse.Namespace) -> "Place":
    from pipeline.rollout.edit import Place

    return Place(options.serving, options.models_config, options.model_name)


def _servers(options: argparse.Namespace) -> "Servers | None":
    """Returns the servers to wait for, None if none were named."""
    from pipeline.rollout.server_status import Servers

    return Servers(options.wait, options.wait_seconds, report=console.remark) if options.wait else None
