"""One part of a pipeline in this process: what each pod on Kubeflow does.

    python -m pipeline.cluster plan   --output-root ROOT --run-id ID --configuration JSON --graph DIGEST [--span N]
    python -m pipeline.cluster run    --output-root ROOT --run-id ID --node NODE [--kubeflow JSON]
    python -m pipeline.cluster report --output-root ROOT --run-id ID [--kubeflow JSON]

Exit codes: 0 only if the metadata store says that the node is complete or cached; 1 failed; 2 bad usage. The last line
on standard error is the cause. A part that was killed may be started again with the same words: what was finished is
not repeated.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from components.errors import StepRefusedError
from pipeline.config.schema import ConfigurationError, validate_config
from pipeline.startup import end_on_sigterm, import_tensorflow, importing, quiet_libraries, settle_environment

_DONE, _FAILED, _BAD_USAGE = 0, 1, 2

_logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of this command."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.cluster", description=__doc__.partition("\n")[0])
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    for name, summary in (
        ("plan", "settle what the run reads, and write its plan"),
        ("run", "run one node"),
        ("report", "write the run's report, however its nodes ended"),
    ):
        part = parts.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        part.add_argument("--output-root", type=Path, required=True, metavar="ROOT", help="of the configuration")
        part.add_argument("--run-id", required=True, metavar="ID", help="the same for all parts of a run")
        part.add_argument("--verbose", action="store_true", help="log what the libraries say")
        if name == "plan":
            part.add_argument("--configuration", required=True, metavar="JSON", help="of the pipeline")
            part.add_argument("--graph", required=True, metavar="DIGEST", help="of the nodes that there are tasks for")
            part.add_argument("--span", default="", metavar="N", help="to read; empty: as configured, or the newest")
        else:
            part.add_argument("--kubeflow", default="", metavar="JSON", help="where Kubeflow wants metrics and pages")
        if name == "run":
            part.add_argument("--node", required=True, help="identifier, e.g. SecondaryTrainer.progan_celeba")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one part.

    Args:
        arguments: the words behind `python -m pipeline.cluster`; None takes those of the process.

    Returns:
        The exit code.
    """
    end_on_sigterm()
    settle_environment()
    options = build_parser().parse_args(arguments)
    quiet_libraries(options.verbose)
    import_tensorflow(options.verbose)
    try:
        return {"plan": _plan, "run": _run, "report": _report}[options.part](options)
    except ConfigurationError as error:
        return _cause(str(error), _BAD_USAGE)
    except (StepRefusedError, OSError) as error:
        return _cause(str(error), _FAILED)
    except Exception as error:
        _logger.exception("%s failed", options.part)
        return _cause(f"{type(error).__name__}: {error}", _FAILED)


def _plan(options: argparse.Namespace) -> int:
    with importing():
        from pipeline.cluster.plan import make_plan

    try:
        values = json.loads(options.configuration)
    except ValueError as error:
        raise ConfigurationError(f"--configuration: is no JSON: {error}. Compile the package again.") from error
    config = validate_config(values, "the package's configuration")
    if config.root != options.output_root:
        raise ConfigurationError(
            f"--output-root: must be the configuration's, {config.root}, got {options.output_root}. "
            "Compile the package again."
        )
    plan = make_plan(config, options.run_id, _span(options.span), options.graph)
    _say(f"plan of run {plan.run_id}: span {plan.config.data.span}, {len(plan.node_ids)} nodes")
    return _DONE


def _span(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal():
        raise ConfigurationError(f"--span: must be the number of a span, or empty for the newest, got {text!r}.")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    with importing():
        from pipeline.cluster.node_run import kept_cause, run_node
        from pipeline.cluster.plan import read_plan

    plan = read_plan(options.output_root, options.run_id)
    with kept_cause(plan, options.node):
        state, seconds = run_node(plan, options.node)
        if options.kubeflow:
            from pipeline.cluster import outputs

            outputs.write_evaluation(plan, options.node, options.kubeflow)
    _say(f"{options.node}: {state} in {seconds:.1f} s")
    return _DONE


def _report(options: argparse.Namespace) -> int:
    with importing():
        from pipeline.cluster import outputs
        from pipeline.cluster.plan import read_plan
        from pipeline.cluster.report import report_run

    plan = read_plan(options.output_root, options.run_id)
    report, path = report_run(plan)
    if options.kubeflow:
        outputs.write_report(report, path, options.kubeflow)
    _say(f"{report.outcome}: {report.message or report.servable}; report: {path}")
    return _DONE


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _cause(text: str, code: int) -> int:
    sys.stderr.write(f"genattr: {' '.join(text.split())}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
