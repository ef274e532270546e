"""Argument parser of the `genattr` command line."""

import argparse

from pipeline.cli.data import add_arrange, add_prepare, add_sample, add_split_collages
from pipeline.cli.demo import add_demo
from pipeline.cli.evaluate import add_evaluate
from pipeline.cli.kubeflow import add_compile, add_schedule, add_submit
from pipeline.cli.monitor import add_monitor
from pipeline.cli.predict import add_predict
from pipeline.cli.rollout import add_promote, add_retain, add_rollback
from pipeline.cli.run import add_run
from pipeline.cli.serve import add_serve
from pipeline.cli.ship import add_ship
from pipeline.cli.sources import add_describe, add_sources
from pipeline.cli.weights import add_import_weights

_DESCRIPTION = "Is this image camera-made or synthesised by a GAN, and by which generator?"

_EXAMPLES = """examples:
  genattr sample data/demo-images                       make a small synthetic image tree
  genattr prepare data/demo-images data/demo            turn an image tree into a dataset
  genattr run configs/demo.yaml                         train, evaluate, assemble, validate, push
  genattr serve runs/demo/serving/generator_attribution serve what was pushed
  genattr predict photo.jpg --model runs/demo/serving/generator_attribution
  genattr predict photo.jpg                             ask the model that comes with the product
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="genattr",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_sample(commands)
    add_arrange(commands)
    add_split_collages(commands)
    add_prepare(commands)
    add_run(commands)
    add_sources(commands)
    add_describe(commands)
    add_evaluate(commands)
    add_compile(commands)
    add_submit(commands)
    add_schedule(commands)
    add_serve(commands)
    add_promote(commands)
    add_rollback(commands)
    add_retain(commands)
    add_predict(commands)
    add_monitor(commands)
    add_import_weights(commands)
    add_ship(commands)
    add_demo(commands)
    return parser
