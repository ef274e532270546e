"""The demonstration: from nothing to a pushed servable that answers alike by gRPC and by REST."""

import argparse
import time
from pathlib import Path

from components.errors import StepRefusedError
from components.validator.process import server_process
from pipeline import commands, console
from pipeline.config import PipelineConfig, load_config
from serving.answers import Answer
from serving.client import open_predictor

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
    steps = (
        ("sample", commands.sample, _sample_options(images, per_source, config)),
        ("prepare", commands.prepare, _prepare_options(images, config)),
        (
            "run",
            commands.run,
            argparse.Namespace(config=config_path, overrides=[], runner="beam", json=False, verbose=False),
        ),
    )
    for name, command, options in steps:
        step_started = time.monotonic()
        console.say(f"== {name}")
        code = command(options)
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


def _sample_options(images: Path, per_source: int, config: PipelineConfig) -> argparse.Namespace:
    return argparse.Namespace(
        out=images,
        per_source=per_source,
        size=config.input.size,
        seed=0,
        generators=[source.name for source in config.sources],
        json=False,
    )


def _prepare_options(images: Path, config: PipelineConfig) -> argparse.Namespace:
    return argparse.Namespace(
        images=images,
        out=config.dataset,
        size=config.input.size,
        crop="center",
        perturb="none",
        train=0.6,
        eval=0.2,
        test=0.2,
        span=1 if config.data.span is None else config.data.span,
        seed=0,
        workers=2,
        json=False,
    )


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
