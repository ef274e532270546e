"""`genattr import-weights`: makes a servable of published weights."""

import argparse
from pathlib import Path

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE
from pipeline.startup import import_tensorflow


def add_import_weights(commands: Commands) -> None:
    """Add `genattr import-weights`."""
    parser = add_command(
        commands,
        "import-weights",
        "make a servable of published weights",
        "genattr import-weights attribution_ganfp_progan_dct.h5 -o models/ganfp/1 --statistics statistics/ganfp",
        _import_weights,
    )
    parser.add_argument(
        "files", metavar="H5", nargs="+", type=Path, help="published files; each attribution file: a head"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="SERVABLE", help="new directory to write")
    parser.add_argument("--statistics", type=Path, metavar="DIR", help="mean.npy and std_dev.npy, for DCT models")
    parser.add_argument(
        "--source",
        nargs="+",
        metavar="NAME",
        dest="sources",
        help="the heads' names, in order (default: from the files' names)",
    )
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def _import_weights(options: argparse.Namespace) -> int:
    """Make a servable of published weights."""
    import_tensorflow(options.verbose)
    from components.servable.published import import_published

    imported = import_published(options.files, options.output, options.statistics, options.sources)
    if options.json:
        output.print_json(imported.to_dict())
    else:
        window = f"{imported.representation} input of {imported.size} x {imported.size}"
        heads = ", ".join(imported.sources) or "none"
        output.say(f"servable  {imported.servable}: {window}, heads: {heads}")
    return DONE
