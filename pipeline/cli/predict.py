"""What each `genattr` command does, once its arguments are parsed."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.cli import console
from pipeline.config.schema import ConfigurationError, validated
from pipeline.lean_imports import importing
from pipeline.startup import import_tensorflow, quiet_libraries

if TYPE_CHECKING:
    from serving.client import ClientOptions
    from serving.client.pictures import PictureStyle

DONE, FAILED, BAD_USAGE = 0, 1, 2


def guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Runs a command; what it refuses is said in one line, without a traceback.

    Args:
        command: of this module.
        options: parsed arguments.

    Returns:
        The exit code: the command's own; 2 for bad configuration or arguments; 1 for anything that failed.
    """
    quiet_libraries(options.verbose)
    from components.errors import StepRefusedError

    try:
        return command(options)
    except (ConfigurationError, ValueError) as error:
        return _say(options, error, BAD_USAGE)
    except BrokenPipeError:
        # Whoever read our output (head, less) has gone. Nothing may be written any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, StepRefusedError) as error:
        return _say(options, error, FAILED)
    except KeyboardInterrupt:
        console.error("interrupted")
        return FAILED
    except Exception as error:
        if options.verbose or not _is_known(error):
            raise
        return _say(options, error, FAILED)


def sample(options: argparse.Namespace) -> int:
    """Makes the synthetic image tree."""
    from components.sample.generators import DEFAULT_GENERATORS
    from components.sample.tree import write_sample_tree

    with console.progress("sampling") as advance:
        summary = write_sample_tree(
            options.out,
            per_source=options.per_source,
            size=options.size,
            seed=options.seed,
            generators=tuple(options.generators or DEFAULT_GENERATORS),
            progress=advance,
        )
    if options.json:
        print_json(summary.to_dict())
    else:
        console.counts(f"images in {options.out}", summary.counts)
    return DONE


def arrange(options: argparse.Namespace) -> int:
    """Makes an image tree of a downloaded data set."""
    from components.published_data.arrange import arrange as arrange_tree
    from components.published_data.arrange import check_download

    folders, amount = dict(options.folders), options.amount
    if options.check:
        arrangement = check_download(options.layout, options.downloaded, folders, amount)
    elif options.out is None:
        raise ValueError("OUT: is missing: the image tree to make. Name it, or add --check.")
    else:
        with console.progress("arranging") as advance:
            arrangement = arrange_tree(
                options.layout, options.downloaded, options.out, folders, amount, options.copy, progress=advance
            )
    if options.json:
        print_json(arrangement.to_dict())
    else:
        title = f"complete, to be taken from {options.downloaded}" if options.check else f"images in {options.out}"
        console.counts(title, {source.directory: source.taken for source in arrangement.sources})
    return DONE


def split_collages(options: argparse.Namespace) -> int:
    """Cuts sheets of images into single images."""
    from components.published_data.collages import CollageParameters
    from components.published_data.collages import split_collages as cut

    names = ("tile", "skip_first_row", "skip_first_column", "workers")
    parameters = validated(CollageParameters, {name: getattr(options, name) for name in names}, "--")
    with console.progress("cutting") as advance:
        summary = cut(options.collages, options.out, parameters, progress=advance)
    if options.json:
        print_json(summary.to_dict())
        return DONE
    files = len(summary.sheets) + len(summary.refused)
    console.say(f"{summary.tiles:,} images in {summary.out}, cut from {len(summary.sheets):,} of {files:,} files")
    for sheet in summary.refused:
        console.say(f"refused  {sheet.path}: {sheet.detail}")
    return DONE


def prepare(options: argparse.Namespace) -> int:
    """Turns an image tree into a dataset."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare as prepare_dataset

    names = (
        *("size", "crop", "perturb", "perturb_mode", "recompress", "confound", "confound_limit"),
        *("train", "eval", "test", "split_order", "real_factor", "span", "seed", "workers"),
    )
    parameters = validated(PreparationParameters, {name: getattr(options, name) for name in names}, "--")
    with console.progress("preparing") as advance:
        manifest = prepare_dataset(options.images, options.out, parameters, progress=advance)
    if options.json:
        print_json(manifest.summary())
    else:
        console.dataset(manifest, options.out / f"span-{options.span}")
    return DONE


def run(options: argparse.Namespace) -> int:
    """Runs the pipeline."""
    from pipeline.config.schema import load_config
    from pipeline.runs.dataset_check import require_dataset
    from pipeline.sources.registry import with_registered_sources

    config = with_registered_sources(load_config(options.config, options.overrides))
    require_dataset(config)
    listener = console.RunConsole(silent=options.json)
    listener.loading()
    import_tensorflow(options.verbose)
    with importing():
        from pipeline.runs.local import run_pipeline

    with listener.watching_epochs():
        outcome = run_pipeline(config, options.runner, listener)
    if options.json:
        print_json(console.outcome_values(outcome))
    else:
        listener.finished(outcome)
    if outcome.error is None:
        return DONE
    if options.verbose:
        raise outcome.error
    return FAILED


def evaluate(options: argparse.Namespace) -> int:
    """Measures a servable on a dataset. Exit code 1 if any image could not be judged."""
    from components.dataset.perturb import ORDER
    from pipeline.evaluate.evaluation import EvaluationOptions, check
    from pipeline.evaluate.evaluation import evaluate as evaluate_servable

    chosen = ORDER if "all" in options.perturb else [name for name in ORDER if name in options.perturb]
    asked = EvaluationOptions(
        servable=options.servable,
        dataset=options.dataset,
        output=options.output,
        span=options.span,
        splits=tuple(options.splits) if options.splits else None,
        perturbations=tuple(chosen),
        seed=options.seed,
        batch_size=options.batch_size,
    )
    check(asked)
    import_tensorflow(options.verbose)
    with console.progress("asking") as advance:
        outcome = evaluate_servable(asked, progress=advance)
    if options.json:
        print_json(outcome.document)
    else:
        console.evaluation(outcome.document, outcome.report)
    if outcome.refused:
        console.error(f"{outcome.refused} images could not be judged; see refused.jsonl in {options.output}")
    return FAILED if outcome.refused else DONE


def serve(options: argparse.Namespace) -> int:
    """Serves a servable until it is told to stop."""
    logging.getLogger("serving").setLevel(logging.INFO)
    from serving.server.arguments import options_from
    from serving.server.lifecycle import run_server
    from serving.server.memory import bound_arenas
    from serving.server.telemetry.access_log import write_access_log

    server = options_from(options, options.model_base_dir)
    write_access_log(options.access_log)
    bound_arenas()
    import_tensorflow(options.verbose)
    run_server(server, ready=lambda addresses: console.serving(addresses, server))
    return DONE


def predict(options: argparse.Namespace) -> int:
    """Asks for verdicts. Exit code 1 if any image could not be judged."""
    from pipeline.cli import predictions as formats
    from pipeline.cli.summary import summarise
    from serving import contract
    from serving.client import open_predictor
    from serving.client.predict import find_images, predict_files
    from serving.request_log.arguments import request_log_options
    from serving.request_log.client_log import client_log

    asking = _client_options(options)
    logging_to = request_log_options(options)
    images = find_images(options.paths)
    style = _picture_style(options, images)
    if not options.rest:
        import_tensorflow(options.verbose)
    failures = 0
    verdicts: list[str] = []
    with ExitStack() as stack:
        stream = sys.stdout
        if options.output:
            stream = stack.enter_context(options.output.open("w", newline=""))
        advance = stack.enter_context(console.progress("asking"))
        predictor = stack.enter_context(
            open_predictor(model=options.model, grpc=options.grpc, rest=options.rest, options=asking)
        )
        signature = contract.SIGNATURE_EXPLAIN if options.heatmaps else contract.SIGNATURE_DEFAULT
        served = getattr(predictor, "version", None)  # of a directory; a server does not say which one answered
        version = options.version if served is None else served.number
        log = stack.enter_context(client_log(logging_to, options.model_name, version, console.remark))

        def rows() -> Any:
            nonlocal failures
            answered = predict_files(
                predictor, images, batch_size=options.batch_size, signature=signature, on_answer=log
            )
            for number, row in enumerate(answered, start=1):
                advance(number, len(images), str(row.path))
                if row.verdict is None:
                    failures += 1
                else:
                    verdicts.append(row.verdict)
                    if style is not None:
                        from serving.client.pictures import write_heatmaps

                        write_heatmaps(row, options.heatmaps, getattr(predictor, "view", None), style)
                yield row

        writer = {"table": formats.write_table, "csv": formats.write_csv, "jsonl": formats.write_jsonl}[options.format]
        writer(rows(), stream)
    if options.summary or sys.stderr.isatty():
        console.remark(summarise(verdicts))
    if failures:
        console.error(f"{failures} of {len(images)} images could not be judged; the reason stands beside each.")
    return FAILED if failures else DONE


def _client_options(options: argparse.Namespace) -> "ClientOptions | None":
    """Returns how a server is asked, None if a directory is; refuses what cannot be before anything is asked."""
    from serving.client import ClientOptions

    fields = ("model_name", "version", "label", "concurrency", "deadline", "tls_ca", "tls_certificate", "tls_key")
    chosen = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    if options.model is None:
        try:
            return ClientOptions(batch_size=options.batch_size, **chosen)
        except ValueError as error:
            name, _, problem = str(error).partition(": ")
            raise ValueError(f"{_option(name)}: {problem}") from error
    for name in chosen:
        raise ValueError(f"{_option(name)}: says how a server is asked, but --model asks none. Use --grpc or --rest.")
    return None


def _option(name: str) -> str:
    return "--tls-cert" if name == "tls_certificate" else f"--{name.replace('_', '-')}"


def _picture_style(options: argparse.Namespace, images: Sequence[Path]) -> "PictureStyle | None":
    """Returns how pictures are drawn, None if none are wanted; refuses what cannot be done before anything is asked."""
    if options.heatmaps is None:
        chosen = {name: getattr(options, name) for name in ("nolabels", "sourcetags", "heatmap_scale")}
        for name, value in chosen.items():
            if value:
                option = name.replace("_", "-")
                raise ValueError(f"--{option}: says how pictures are made, but none are. Add --heatmaps OUT.")
        return None
    from serving.client.pictures import PictureStyle, check_names

    style = PictureStyle(options.heatmap_scale or "relative", not options.nolabels, options.sourcetags)
    check_names(images, style)
    return style


def import_weights(options: argparse.Namespace) -> int:
    """Makes a servable of published weights."""
    import_tensorflow(options.verbose)
    from components.servable.published import import_published

    imported = import_published(options.files, options.output, options.statistics, options.source)
    if options.json:
        print_json(imported.to_dict())
    else:
        window = f"{imported.representation} input of {imported.size} x {imported.size}"
        heads = ", ".join(imported.sources) or "none"
        console.say(f"servable  {imported.servable}: {window}, heads: {heads}")
    return DONE


def demo(options: argparse.Namespace) -> int:
    """Goes the whole way with everything set."""
    from pipeline.cli.demo import run_demo

    return run_demo(options.config, options.per_source)


def _is_known(error: Exception) -> bool:
    """Whether an exception is one of ours, whose message says all."""
    return type(error).__module__.split(".")[0] in ("components", "pipeline", "serving")


def _say(options: argparse.Namespace, error: BaseException, code: int) -> int:
    if options.verbose:
        logging.getLogger(__name__).exception("the command failed")
    console.error(str(error))
    return code


class Tellable(Protocol):
    """An outcome that people and machines can be told."""

    def lines(self) -> list[str]:
        """For people."""

    def to_dict(self) -> dict[str, Any]:
        """For machines."""


def tell(options: argparse.Namespace, outcome: Tellable) -> None:
    """Prints an outcome as it was asked for."""
    if options.json:
        print_json(outcome.to_dict())
    else:
        for line in outcome.lines():
            console.say(line)


def print_json(values: Any) -> None:
    """Prints a result for machines."""
    sys.stdout.write(json.dumps(values, indent=2) + "\n")
