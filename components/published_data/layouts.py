"""What the published data sets look like once downloaded, and whether all of it is there.

The data is fetched by whoever may use it; nothing is downloaded here. A layout says which downloaded folder becomes
which source of an image tree, and how many images the published set-up takes of it. See docs/published-datasets.md.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777), published code's data guide; Durall et al. 2019 (arXiv 1911.00686);
Yu, Davis & Fritz 2019 (arXiv 1811.08180).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.dataset.reference_splits import image_number
from serving.image_files import is_clutter, may_be_image


@dataclass(frozen=True)
class SourceFolder:
    """A downloaded folder that becomes a source.

    Attributes:
        directory: where it goes in the image tree, e.g. "fake/progan_celeba".
        folders: names that the downloaded folder may have; the first that exists is taken.
        origin: what the images are, for people.
        optional: may be missing, or hold fewer images than the layout takes of the others.
    """

    directory: str
    folders: tuple[str, ...]
    origin: str
    optional: bool = False

    @property
    def name(self) -> str:
        """The source's name: the last part of its directory."""
        return self.directory.rsplit("/", maxsplit=1)[-1]


@dataclass(frozen=True)
class Layout:
    """A published data set.

    Attributes:
        title: for people.
        amount: images of each source that the published set-up takes, the first by number.
        sources: what it consists of.
    """

    title: str
    amount: int
    sources: tuple[SourceFolder, ...]


LAYOUTS = {
    "ganfp": Layout(
        "GANFP: CelebA and four generators trained on it",
        30_000,
        (
            SourceFolder("real/real_celeba", ("img_align_celeba", "img_align_celeba_png", "celeba"), "CelebA, aligned"),
            SourceFolder("fake/sngan_celeba", ("sngan_celeba", "SNGAN"), "SNGAN of Yu et al., 128 px"),
            SourceFolder("fake/progan_celeba", ("progan_celeba", "ProGAN"), "ProGAN of Yu et al., 128 px"),
            SourceFolder("fake/mmdgan_celeba", ("mmdgan_celeba", "MMDGAN"), "MMDGAN of Yu et al., 128 px"),
            SourceFolder("fake/cramergan_celeba", ("cramergan_celeba", "CramerGAN"), "CramerGAN of Yu et al., 128 px"),
        ),
    ),
    "faceshqplus": Layout(
        "FacesHQ+: Faces-HQ of Durall et al. and StyleGAN2 faces",
        10_000,
        (
            SourceFolder("real/real_celebahq", ("celebA-HQ_10K",), "CelebA-HQ, in Faces-HQ"),
            SourceFolder("real/real_ffhq", ("Flickr-Faces-HQ_10K",), "Flickr-Faces-HQ, in Faces-HQ"),
            SourceFolder("fake/stylegan_tpdne", ("thispersondoesntexists_10K",), "StyleGAN faces, in Faces-HQ"),
            SourceFolder("fake/stylegan_100k", ("100KFake_10K", "100KFaces_10K"), "100K Faces project, in Faces-HQ"),
            SourceFolder("fake/stylegan2_tpdne", ("stylegan2_tpdne",), "StyleGAN2 faces of thispersondoesnotexist.com"),
            SourceFolder(
                "fake_testonly/starganv2_celebahq",
                ("starganv2_celebahq",),
                "StarGAN v2, cut by split-collages",
                optional=True,
            ),
        ),
    ),
}


@dataclass(frozen=True)
class FoundSource:
    """What stands in a downloaded folder.

    Attributes:
        source: what it becomes.
        folder: where it is; None if there is no such folder.
        images: paths relative to the folder, in order of the numbers in their names, then of the paths.
        other_files: files that have no image's name, or are none (broken links, pipes).
    """

    source: SourceFolder
    folder: Path | None
    images: tuple[str, ...]
    other_files: int


def find_sources(layout: Layout, downloaded: Path, folders: Mapping[str, Path] | None = None) -> list[FoundSource]:
    """Looks for a layout's folders and lists their images. Opens none.

    Args:
        layout: out of LAYOUTS.
        downloaded: directory that holds the downloaded folders.
        folders: source name -> its folder, where that is called otherwise or lies elsewhere.

    Raises:
        ValueError: if `downloaded` is no directory, or `folders` names a source that the layout lacks or a folder that
            does not exist.
        OSError: if a folder cannot be listed.
    """
    folders = folders or {}
    if not downloaded.is_dir():
        raise ValueError(f"{downloaded}: is not a directory. Name the one that holds the downloaded folders.")
    known = [source.name for source in layout.sources]
    for name, folder in folders.items():
        if name not in known:
            raise ValueError(f"folder {name}={folder}: the layout has no source '{name}'. Its: {', '.join(known)}.")
        if not folder.is_dir():
            raise ValueError(f"folder {name}={folder}: is not a directory. Name the one that holds the images.")
    found = []
    for source in layout.sources:
        places = [downloaded / name for name in source.folders]
        place = next((place for place in places if place.is_dir()), None)
        place = folders.get(source.name, place)
        images, others = _list_images(place) if place else ((), 0)
        found.append(FoundSource(source, place, images, others))
    return found


def require_complete(layout: Layout, downloaded: Path, found: list[FoundSource], amount: int) -> None:
    """Checks that every source that is not optional has enough images.

    Args:
        layout: what was looked for.
        downloaded: where.
        found: from find_sources.
        amount: images that each source must have.

    Raises:
        ValueError: with a line for each source that lacks something: what was expected where, and what was found.
    """
    problems = []
    for item in found:
        if item.source.optional or len(item.images) >= amount:
            continue
        names = " or ".join(item.source.folders) if item.folder is None else str(item.folder)
        there = "no such folder" if item.folder is None else f"{len(item.images):,}"
        problems.append(f"  {item.source.name}: expected {amount:,} images in {names}, found {there}")
    if problems:
        raise ValueError(
            f"{downloaded}: not all of {layout.title} is there.\n" + "\n".join(problems) + "\n"
            "Fetch what is missing, name its directory by `folders`, or take fewer images by `amount`."
        )


def _list_images(folder: Path) -> tuple[tuple[str, ...], int]:
    """Lists the images below a folder, as FoundSource has them, and counts other files; passes hidden entries by."""
    images: list[str] = []
    others = 0
    for parent, directories, files in os.walk(folder, onerror=_raise):
        directories[:] = [name for name in directories if not is_clutter(name)]
        for name in files:
            if is_clutter(name):
                continue
            path = Path(parent, name)
            if may_be_image(name) and path.is_file():
                images.append(path.relative_to(folder).as_posix())
            else:
                others += 1
    return tuple(sorted(images, key=_by_number)), others


def _raise(error: OSError) -> None:
    raise error


def _by_number(path: str) -> tuple[bool, int, list[str]]:
    number = image_number(path)
    return number is None, number or 0, path.split("/")
