"""The demonstration: from nothing to a pushed servable that answers alike by gRPC and by REST."""

import time
from pathlib import Path

from components.errors import StepRefusedError
from components.servable_validator.process import server_process
from pipeline.cli import commands, console
from pipeline.cli.parser import build_parser
from pipeline.config.schema import PipelineConfig, load_config
from serving.client import open_predictor
from serving.client.answers import Answer

_START_TIMEOUT = 120.0


def run_demo(config_path: Path, per_source: int) -> int:
    """Samples images, prepares a dataset, runs the pipeline, serves the result and asks it.

    Args:
        config_path: configuration; its dataset is made in `data.dataset`, from images in a folder beside it.
        per_source: images a source.

    Returns:
        The exit code.

    Raises:
        StepRefusedError: if the two ways of asking give different answers.
    """
    started = time.monotonic()
    config = load_config(config_path)
    images = config.dataset.with_name(f"{config.dataset.name}-images")
    span = 1 if config.data.span is None else config.data.span
    size = str(config.input.size)
    generators = [source.name for source in config.sources]
    steps = (
        ["sample", images, "--per-source", per_source, "--size", size, "--generators", *generators],
        ["prepare", images, config.dataset, "--size", size, "--span", span],
        ["run", config_path],
    )
    parser = build_parser()
    for words in steps:
        name = str(words[0])
        options = parser.parse_args([str(word) for word in words])
        step_started = time.monotonic()
        console.say(f"== {name}")
        code = getattr(commands, name)(options)
        console.say(f"   {name} took {time.monotonic() - step_started:.1f} s")
        if code != commands.DONE:
            return code
    console.say("== serve and ask")
    rows = _ask_both_ways(images, config)
    console.equal_answers(rows)
    different = [path for path, by_grpc, by_rest in rows if by_grpc != by_rest]
    if different:
        raise StepRefusedError(f"answers by gRPC and by REST differ for {', '.join(different)}.")
    console.say(f"equal answers for {len(rows)} images; the demonstration took {time.monotonic() - started:.1f} s")
    return commands.DONE


def _ask_both_ways(images: Path, config: PipelineConfig) -> list[tuple[str, Answer, Answer]]:
    """Asks a server in a fresh process about the first image of every source."""
    chosen = [next(iter(sorted(source.iterdir()))) for source in sorted(images.glob("*/*")) if source.is_dir()]
    encoded = [path.read_bytes() for path in chosen]
    with server_process(config.serving_base, _START_TIMEOUT) as addresses:
        with open_predictor(grpc=addresses["grpc"]) as predictor:
            by_grpc = predictor.predict(encoded)
        with open_predictor(rest=addresses["rest"]) as predictor:
            by_rest = predictor.predict(encoded)
    names = [str(path.relative_to(images)) for path in chosen]
    return list(zip(names, by_grpc, by_rest, strict=True))
