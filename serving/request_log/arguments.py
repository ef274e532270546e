"""The words of the command line that ask for a request log, for servers and clients alike."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.request_log.options import RequestLogOptions


def add_request_log_arguments(parser: argparse.ArgumentParser, share: float) -> None:
    """Adds them.

    Args:
        parser: to add to.
        share: what is logged unless told otherwise, 0..1.
    """
    log = parser.add_argument_group("request log, for `genattr monitor` (default: none is written)")
    log.add_argument(
        "--request-log", type=Path, metavar="FOLDER", help="a line an answered image: measurements, scores, verdict"
    )
    log.add_argument(
        "--request-log-share",
        type=float,
        metavar="SHARE",
        help=f"of the answered images, by chance (default {share:g})",
    )
    log.add_argument("--request-log-images", action="store_true", help="keep the logged images too, up to 1 GiB")
    parser.set_defaults(default_request_log_share=share)


def request_log_options(arguments: argparse.Namespace) -> "RequestLogOptions | None":
    """Return the options of the request log, None for no log.

    Raises:
        ValueError: If the share is out of range, or a share or images are given without a directory.
    """
    from serving.request_log.options import RequestLogOptions

    if arguments.request_log is None:
        if arguments.request_log_share is not None or arguments.request_log_images:
            option = "images" if arguments.request_log_images else "share"
            raise ValueError(f"--request-log-{option}: says how requests are logged, but not where. Add --request-log.")
        return None
    given = arguments.request_log_share
    share = arguments.default_request_log_share if given is None else given
    try:
        return RequestLogOptions(arguments.request_log, share, arguments.request_log_images)
    except ValueError as error:
        raise ValueError(f"--request-log-{error}") from error
