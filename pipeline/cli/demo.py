"""`genattr demo`: from nothing to a pushed servable that gives the same answers by gRPC and by REST."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.data import add_prepare, add_sample
from pipeline.cli.output import DONE
from pipeline.cli.run import add_run

if TYPE_CHECKING:
    from pipeline.config.schema import PipelineConfig
    from serving.client.answers import Answer

_START_TIMEOUT = 120.0


def add_demo(commands: Commands) -> None:
    """Add `genattr demo`."""
    parser = add_command(
        commands, "demo", "sample, prepare, run, serve and ask, with everything set", "genattr demo", _demo
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"), help="(default configs/demo.yaml)")
    parser.add_argument("--per-source", type=int, default=200, metavar="N", help="images a source (default 200)")


def _demo(options: argparse.Namespace) -> int:
    """Sample images, prepare a dataset, run the pipeline, serve the result and ask it.

    The dataset is made in `data.dataset` of the configuration, from images in a directory beside it.

    Raises:
        StepRefusedError: if gRPC and REST give different answers.
    """
    from components.errors import StepRefusedError
    from pipeline.config.schema import load_config

    started = time.monotonic()
    config = load_config(options.config)
    images = config.dataset.with_name(f"{config.dataset.name}-images")
    parser = _parser_of_steps()
    for words in _steps(options, config, images):
        step_started = time.monotonic()
        output.say(f"== {words[0]}")
        step = parser.parse_args(words)
        code: int = step.body(step)
        output.say(f"   {words[0]} took {time.monotonic() - step_started:.1f} s")
        if code != DONE:
            return code
    output.say("== serve and ask")
    rows = _answers_by_protocol(images, config)
    _print_answers(rows)
    different = [path for path, by_grpc, by_rest in rows if by_grpc != by_rest]
    if different:
        raise StepRefusedError(f"answers by gRPC and by REST differ for {', '.join(different)}.")
    output.say(f"equal answers for {len(rows)} images; the demonstration took {time.monotonic() - started:.1f} s")
    return DONE


def _parser_of_steps() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="genattr")
    commands = parser.add_subparsers(required=True)
    for add in (add_sample, add_prepare, add_run):
        add(commands)
    return parser


def _steps(options: argparse.Namespace, config: "PipelineConfig", images: Path) -> list[list[str]]:
    """Return the command lines that lead to a pushed servable."""
    size = config.input.size
    span = 1 if config.data.span is None else config.data.span
    generators = [source.name for source in config.sources]
    sample = ["sample", images, "--per-source", options.per_source, "--size", size, "--generators", *generators]
    prepare = ["prepare", images, config.dataset, "--size", size, "--span", span]
    return [[str(word) for word in words] for words in (sample, prepare, ["run", options.config])]


def _answers_by_protocol(images: Path, config: "PipelineConfig") -> "list[tuple[str, Answer, Answer]]":
    """Ask a server in a fresh process about the first image of every source, by gRPC and by REST."""
    from components.servable_validator.process import server_process
    from serving.client import open_predictor

    chosen = [next(iter(sorted(source.iterdir()))) for source in sorted(images.glob("*/*")) if source.is_dir()]
    encoded = [path.read_bytes() for path in chosen]
    with server_process(config.serving_base, _START_TIMEOUT) as addresses:
        with open_predictor(grpc=addresses["grpc"]) as predictor:
            by_grpc = predictor.predict(encoded)
        with open_predictor(rest=addresses["rest"]) as predictor:
            by_rest = predictor.predict(encoded)
    names = [str(path.relative_to(images)) for path in chosen]
    return list(zip(names, by_grpc, by_rest, strict=True))


def _print_answers(rows: "list[tuple[str, Answer, Answer]]") -> None:
    """Print the answers of a server for each image by gRPC and by REST."""
    numbers = ("fake (gRPC)", "fake (REST)")
    cells = [
        (
            path,
            by_grpc.verdict,
            by_rest.verdict,
            f"{by_grpc.fake_probability:.6f}",
            f"{by_rest.fake_probability:.6f}",
        )
        for path, by_grpc, by_rest in rows
    ]
    headings = ("image", "verdict (gRPC)", "verdict (REST)", *numbers)
    output.table("the pushed servable, asked by gRPC and by REST", headings, cells, numbers=numbers)
