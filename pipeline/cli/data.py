"""Commands about images and datasets: sample, arrange, split-collages, prepare."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.cli.command import Commands, add_command
from pipeline.cli.output import DONE, FAILED

if TYPE_CHECKING:
    from components.dataset.losses import Loss
    from components.dataset.manifest import Manifest


def add_sample(commands: Commands) -> None:
    """Add `genattr sample`."""
    parser = add_command(
        commands,
        "sample",
        "make a synthetic image tree, for the demonstration and for tests",
        "genattr sample data/demo-images --per-source 200",
        _sample,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write real/ and fake/ into")
    parser.add_argument("--per-source", type=int, default=200, metavar="N", help="images a source (default 200)")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels (default 128)")
    parser.add_argument("--seed", type=int, default=0, help="of the images' content (default 0)")
    parser.add_argument("--generators", nargs="+", metavar="NAME", help="generators to sample (default: four of them)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _sample(options: argparse.Namespace) -> int:
    """Write the synthetic image tree."""
    from components.sample.generators import DEFAULT_GENERATORS
    from components.sample.tree import write_sample_tree

    with output.progress("sampling") as advance:
        summary = write_sample_tree(
            options.out,
            per_source=options.per_source,
            size=options.size,
            seed=options.seed,
            generators=tuple(options.generators or DEFAULT_GENERATORS),
            progress=advance,
        )
    if options.json:
        output.print_json(summary.to_dict())
    else:
        output.counts(f"images in {options.out}", summary.counts)
    return DONE


def add_arrange(commands: Commands) -> None:
    """Add `genattr arrange`."""
    parser = add_command(
        commands,
        "arrange",
        "make an image tree of a downloaded, published data set",
        "genattr arrange faceshqplus downloads/Faces-HQ --check\n"
        "  genattr arrange ganfp downloads images/ganfp --folder real_celeba=/data/celeba/img_align_celeba_png",
        _arrange,
    )
    parser.add_argument("layout", metavar="LAYOUT", choices=("ganfp", "faceshqplus"), help="ganfp or faceshqplus")
    parser.add_argument("downloaded", metavar="DOWNLOADED", type=Path, help="folder that holds the downloaded folders")
    parser.add_argument("out", metavar="OUT", type=Path, nargs="?", help="image tree to make; not needed with --check")
    parser.add_argument(
        "--folder",
        action="append",
        default=[],
        type=_folder,
        metavar="SOURCE=DIR",
        dest="folders",
        help="where a source's images lie, if not in the folder that docs/published-datasets.md names; may be repeated",
    )
    parser.add_argument(
        "--amount", type=int, metavar="N", help="images a source, the first by number (default: as published)"
    )
    parser.add_argument("--copy", action="store_true", help="copy files, instead of linking where that is possible")
    parser.add_argument("--check", action="store_true", help="only say what is there, or missing (exit code 2)")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")


def _arrange(options: argparse.Namespace) -> int:
    """Make an image tree of a downloaded data set."""
    from components.published_data.arrange import arrange, check_download

    directories, amount = dict(options.folders), options.amount
    if options.check:
        arrangement = check_download(options.layout, options.downloaded, directories, amount)
    elif options.out is None:
        raise ValueError("out: is missing: the image tree to make. Name it, or add --check.")
    else:
        with output.progress("arranging") as advance:
            arrangement = arrange(
                options.layout, options.downloaded, options.out, directories, amount, options.copy, progress=advance
            )
    if options.json:
        output.print_json(arrangement.to_dict())
    else:
        title = f"complete, to be taken from {options.downloaded}" if options.check else f"images in {options.out}"
        output.counts(title, {source.directory: source.taken for source in arrangement.sources})
    return DONE


def add_split_collages(commands: Commands) -> None:
    """Add `genattr split-collages`."""
    parser = add_command(
        commands,
        "split-collages",
        "cut sheets of generated images into single images, never rescaled",
        "genattr split-collages stargan-v2/results images/faces/fake_testonly/starganv2_celebahq --tile 256",
        _split_collages,
    )
    parser.add_argument("collages", metavar="COLLAGES", nargs="+", type=Path, help="sheets, or folders of them")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write 000000.png, 000001.png ... into")
    parser.add_argument("--tile", type=int, required=True, metavar="PIXELS", help="height and width of one image")
    for what in ("row", "column"):
        parser.add_argument(
            f"--skip-first-{what}",
            action=argparse.BooleanOptionalAction,
            default=True,
            help=f"leave the first {what} out: a StarGAN v2 sheet shows its inputs there",
        )
    parser.add_argument(
        "--workers", type=int, default=2, help="processes (default 2); the result does not depend on it"
    )
    parser.add_argument("--json", action="store_true", help="print what was cut, and what was refused, as JSON")


def _split_collages(options: argparse.Namespace) -> int:
    """Cut sheets of images into single images."""
    from components.published_data.collages import CollageParameters, split_collages
    from pipeline.config.schema import validated

    names = ("tile", "skip_first_row", "skip_first_column", "workers")
    parameters = validated(CollageParameters, {name: getattr(options, name) for name in names})
    with output.progress("cutting") as advance:
        summary = split_collages(options.collages, options.out, parameters, progress=advance)
    if options.json:
        output.print_json(summary.to_dict())
        return DONE
    files = len(summary.sheets) + len(summary.refused)
    output.say(f"{summary.tiles:,} images in {summary.out}, cut from {len(summary.sheets):,} of {files:,} files")
    for sheet in summary.refused:
        output.say(f"refused  {sheet.path}: {sheet.detail}")
    return DONE


def add_prepare(commands: Commands) -> None:
    """Add `genattr prepare`."""
    parser = add_command(
        commands,
        "prepare",
        "turn an image tree into a dataset",
        "genattr prepare data/demo-images data/demo --size 128 --train 0.6 --eval 0.2 --test 0.2\n"
        "  genattr prepare images data/mine --recompress 90 --confound fail",
        _prepare,
    )
    parser.add_argument("images", metavar="IMAGES", type=Path, help="folder that holds {real,fake}/<source>/<images>")
    parser.add_argument("out", metavar="OUT", type=Path, help="dataset folder; span-<N> is written into it")
    _add_image_arguments(parser)
    _add_split_arguments(parser)
    parser.add_argument(
        "--workers", type=int, default=2, help="processes (default 2); the result does not depend on it"
    )
    parser.add_argument(
        "--max-loss",
        type=float,
        default=0.1,
        metavar="F",
        help="share of a source's images that may be rejected, 0..1 (default 0.1). If a source loses more, the dataset "
        "is written all the same, and the exit code is 1; with 1 it never is",
    )
    parser.add_argument("--json", action="store_true", help="print the manifest's summary as JSON")


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what happens to each image before it is written."""
    parser.add_argument("--size", type=int, default=128, help="side in pixels (default 128); smaller ones are rejected")
    parser.add_argument(
        "--crop",
        choices=("center", "celeba", "resize"),
        default="center",
        help="the middle (default), or the face window of CelebA's 178 x 218 px images: both cut out, never rescaled. "
        "resize shrinks the central square as the published FacesHQ+ set-up did: it changes fingerprints, so use it to "
        "reproduce such a set-up and for nothing else",
    )
    parser.add_argument(
        "--perturb",
        choices=("none", "blur", "crop", "jpeg", "noise", "multi"),
        default="none",
        help="perturb about half of the images (default none)",
    )
    parser.add_argument(
        "--perturb-mode",
        choices=("corrected", "reference"),
        default="corrected",
        help="as the papers state (default), or exactly as the published implementation does, to compare numbers",
    )
    parser.add_argument(
        "--recompress",
        type=_recompression,
        metavar="QUALITY|png",
        help="last step for every image, so that no file tells its class: JPEG of quality 1..100, 4:2:0 (masks earlier "
        "JPEG traces, best below their quality; strong ones, rescaling and missing colours stay visible), or png (the "
        "same container alone; JPEG traces stay). Images that are asked about later are taken as they come",
    )
    parser.add_argument(
        "--confound",
        choices=("warn", "fail", "off"),
        default="warn",
        help="if file format, JPEG compression, resolution or colour mode tells real from fake: warn (default), or "
        "fail (exit code 1) before anything is written",
    )
    parser.add_argument(
        "--confound-limit",
        type=float,
        default=0.75,
        metavar="B",
        help="balanced accuracy from which one of these counts, 0.5..1 (default 0.75)",
    )


def _add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many images each split has, and which."""
    for split, share in (("train", "0.6"), ("eval", "0.2"), ("test", "0.2")):
        parser.add_argument(
            f"--{split}",
            type=_amount,
            default=_amount(share),
            metavar="N|F",
            help=f"images a source, or a fraction of them, for {split} (default {share})",
        )
    parser.add_argument(
        "--split-order",
        choices=("hashed", "reference"),
        default="hashed",
        help="by content, so that no image changes its split when others come (default), or by the numbers in the "
        "files' names and in the order of the published implementation; needs whole numbers of images",
    )
    parser.add_argument(
        "--real-factor",
        type=int,
        default=1,
        metavar="N",
        help="camera sources give N times the images asked for (default 1); needs whole numbers of images",
    )
    parser.add_argument("--span", type=int, default=1, help="number of the span to write (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="of splits and perturbations (default 0)")


def _prepare(options: argparse.Namespace) -> int:
    """Turn an image tree into a dataset; FAILED if a source lost too many of its images."""
    from components.dataset.losses import find_losses
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare
    from pipeline.config.schema import validated

    names = (
        *("size", "crop", "perturb", "perturb_mode", "recompress", "confound", "confound_limit"),
        *("train", "eval", "test", "split_order", "real_factor", "span", "seed", "workers", "max_loss"),
    )
    parameters = validated(PreparationParameters, {name: getattr(options, name) for name in names})
    with output.progress("preparing") as advance:
        manifest = prepare(options.images, options.out, parameters, progress=advance)
    losses = find_losses(manifest, parameters.max_loss)
    if options.json:
        output.print_json({**manifest.summary(), "losses": [loss.to_dict() for loss in losses]})
    else:
        _print_dataset(manifest, options.out / f"span-{options.span}")
    if losses:
        _report_losses(losses, parameters.max_loss)
    return FAILED if losses else DONE


def _report_losses(losses: "list[Loss]", limit: float) -> None:
    """Print the sources that lost too many images, as the last lines and as errors."""
    for loss in losses:
        output.error(str(loss))
    output.error(
        f"The dataset was written, but sources lost more than {limit:.0%} of their images: see manifest.json#rejected. "
        "Repair them, or accept the loss with --max-loss."
    )


def _print_dataset(manifest: "Manifest", directory: Path) -> None:
    """Print what a prepared dataset holds, and what was left out."""
    splits = ("train", "eval", "test", "testonly")
    sources = sorted({source for split in splits for source in manifest.counts.get(split, {})})
    rows = [(source, *(f"{manifest.counts.get(split, {}).get(source, 0):,}" for split in splits)) for source in sources]
    output.table(f"dataset {directory}", ("source", *splits), rows, numbers=splits)
    totals = manifest.totals
    used = sum(totals[split] for split in splits)
    output.say(
        f"{totals['found']:,} entries found: {used:,} in the dataset, {totals['unused']:,} unused, "
        f"{totals['rejected']:,} rejected, {totals['duplicates']:,} duplicates, {totals['ignored']:,} ignored"
    )
    if again := totals.get("stored_again"):
        output.say(f"{again:,} stored again as PNG, since the served graph cannot decode the files: see manifest.json")
    if manifest.rejected:
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(manifest.rejected_by_reason.items()))
        output.say(f"{len(manifest.rejected)} files rejected ({reasons}): see manifest.json#rejected", "yellow")
    for warning in manifest.warnings:
        output.say(warning, "yellow")
    for note in manifest.confounds.get("notes", ()):
        output.say(note)
    ratio = manifest.bytes["dataset"] / max(1, manifest.bytes["encoded_images"])
    output.say(f"{manifest.bytes['dataset'] / 1e6:.1f} MB, {ratio:.2f} times the encoded images")
    if manifest.duplicates:
        output.say(f"{len(manifest.duplicates)} duplicates left out: see manifest.json#duplicates")


def _recompression(text: str) -> int | str:
    """Reads a JPEG quality, or "png"."""
    if text == "png":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a JPEG quality (1 to 100, e.g. 90) or png, got '{text}'") from error


def _folder(text: str) -> tuple[str, Path]:
    """Reads SOURCE=DIR."""
    source, separator, folder = text.partition("=")
    if not (source and separator and folder):
        raise argparse.ArgumentTypeError(f"must have the form SOURCE=DIR, e.g. real_celeba=/data/celeba, got '{text}'")
    return source, Path(folder)


def _amount(text: str) -> int | float:
    """Reads a count (whole number) or a fraction (with a decimal point)."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be a number of images (e.g. 200) or a fraction (e.g. 0.2), got '{text}'"
        ) from error
