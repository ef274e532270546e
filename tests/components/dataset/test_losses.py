import json
import re
import shutil

import pytest

from components.dataset.losses import find_losses
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from pipeline.cli.main import main
from tests.support.images import encode, noise
from tests.support.lossless_jpeg import lossless_jpeg

SIDE = 32
OPTIONS = ("--size", str(SIDE), "--confound", "off")


@pytest.fixture
def lossy_tree(small_tree):
    """gan_a lost 2 of 12 images, and has notes that are none; gan_b lost 1 of 11; real_a 1 of 10."""
    for name in ("broken.png", "also_broken.png"):
        (small_tree / "fake" / "gan_a" / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    for number in range(9):
        (small_tree / "fake" / "gan_a" / f"{number:03d}.json").write_text("{}")
    (small_tree / "fake" / "gan_b" / "photograph.heic").write_bytes(b"....ftypheic")
    (small_tree / "real" / "real_a" / "000.png").write_bytes(b"")
    return small_tree


def test_sources_above_the_limit_are_found_and_notes_do_not_count(lossy_tree, tmp_path):
    manifest = prepare(lossy_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    found = {loss.source: (loss.rejected, loss.images) for loss in find_losses(manifest, 0.05)}
    assert found == {"gan_a": (2, 12), "gan_b": (1, 11), "real_a": (1, 10)}
    (loss,) = find_losses(manifest, 0.1)  # real_a lost just that share
    assert str(loss) == "source 'gan_a' lost 2 of 12 images (17%): 2 undecodable"
    assert loss.reasons == {"undecodable": 2}
    assert find_losses(manifest, 2 / 12) == find_losses(manifest, 1.0) == []


def test_a_source_that_lost_all_its_images_is_found(small_tree, tmp_path):
    for path in (small_tree / "fake" / "gan_b").iterdir():
        path.rename(path.with_suffix(""))
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert [str(loss) for loss in find_losses(manifest, 0.99)] == [
        "source 'gan_b' lost 10 of 10 images (100%): 10 extension"
    ]


def test_a_loss_is_the_last_word_and_the_exit_code_of_prepare(lossy_tree, tmp_path, capfd):
    out = tmp_path / "out"
    assert main(["prepare", str(lossy_tree), str(out), *OPTIONS]) == 1
    errors = capfd.readouterr().err.splitlines()
    assert errors[0] == "genattr: source 'gan_a' lost 2 of 12 images (17%): 2 undecodable"
    assert errors[-1].startswith("genattr: The dataset was written, but sources lost more than 10% of their images")
    assert (out / "span-1" / "manifest.json").is_file()
    # Again, with the dataset in its place: the loss is still one.
    assert main(["prepare", str(lossy_tree), str(out), *OPTIONS, "--json"]) == 1
    captured = capfd.readouterr()
    assert json.loads(captured.out)["losses"] == [
        {"source": "gan_a", "images": 12, "rejected": 2, "share": 2 / 12, "reasons": {"undecodable": 2}}
    ]
    assert "gan_a" in captured.err
    assert main(["prepare", str(lossy_tree), str(out), *OPTIONS, "--max-loss", "0.2"]) == 0
    assert "lost" not in capfd.readouterr().err
    assert main(["prepare", str(lossy_tree), str(out), *OPTIONS, "--max-loss", "1.5"]) == 2
    assert "--max-loss" in capfd.readouterr().err


def test_every_entry_is_accounted_for_in_what_prepare_prints(lossy_tree, tmp_path, capfd):
    gan_a = lossy_tree / "fake" / "gan_a"
    shutil.copy(gan_a / "000.png", gan_a / "copy.png")
    (gan_a / "deeper").mkdir()
    (gan_a / "deeper" / "lossless.jpg").write_bytes(lossless_jpeg(noise(77)))
    (gan_a / ".hidden").write_bytes(b"")
    (lossy_tree / "fake" / "stray.png").write_bytes(encode(noise(78)))
    entries = sum(path.is_file() for path in lossy_tree.rglob("*"))
    sizes = ("--train", "4", "--eval", "2", "--test", "1")
    main(["prepare", str(lossy_tree), str(tmp_path / "out"), *OPTIONS, *sizes])
    printed = capfd.readouterr().out
    (line,) = [line for line in printed.splitlines() if "entries found" in line]
    found, *parts = (int(number) for number in re.findall(r"\d+", line))
    assert found == entries == sum(parts)
    assert parts == [21, 9, 14, 1, 1]
    summary = json.loads((tmp_path / "out" / "span-1" / "manifest.json").read_text())
    stored_again = sum("stored_again" in image for images in summary["images"].values() for image in images)
    assert (f"{stored_again} stored again as PNG" in printed) == (stored_again > 0)
