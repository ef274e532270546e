"""`genattr predict` with pictures and its summary, on the servable of the serving tests."""

import pytest

from pipeline.cli.main import main


@pytest.fixture
def folder(tmp_path, make_image):
    for name, colour in (("cam/1.png", (0, 0, 0)), ("gan/1.png", (255, 200, 0)), ("gan/2.png", (255, 0, 0))):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(make_image(colour, (64, 64)))
    return tmp_path / "images"


@pytest.fixture
def predict(model_base, folder):
    return lambda *options: main(["predict", str(folder), "--model", str(model_base), "--format", "csv", *options])


def test_source_tags_labels_and_scale_reach_the_pictures(predict, tmp_path):
    out = tmp_path / "pictures"
    assert predict("--heatmaps", str(out), "--sourcetags", "--nolabels", "--heatmap-scale", "reference") == 0
    assert sorted(path.name for path in out.iterdir()) == ["cam_1.png", "gan_1.png", "gan_2.png"]


@pytest.mark.parametrize("option", [["--nolabels"], ["--sourcetags"], ["--heatmap-scale", "absolute"]])
def test_options_of_pictures_need_pictures(predict, capsys, option):
    assert predict(*option) == 2
    assert f"{option[0]}: says how pictures are made, but none are. Add --heatmaps OUT." in capsys.readouterr().err


def test_pictures_that_would_overwrite_each_other_are_refused_before_anything_is_asked(
    folder, model_base, make_image, tmp_path, capsys
):
    (folder / "gan" / "1.jpg").write_bytes(make_image((9, 9, 9), (64, 64)))
    out = tmp_path / "pictures"
    arguments = ["predict", str(folder), "--model", str(model_base), "--heatmaps", str(out)]
    assert main([*arguments, "--sourcetags"]) == 2
    assert "its picture would be gan_1.png" in capsys.readouterr().err
    assert not out.exists()
    assert main(arguments) == 0
    assert len(list(out.iterdir())) == 4


def test_the_summary_stands_on_standard_error_on_request_alone(predict, capsys):
    assert predict("--summary") == 0
    written = capsys.readouterr()
    assert "3 images: 33.3 % fake, 33.3 % attributed to a source" in written.err
    assert "WARNING: 33.3 % called real by detection, yet claimed by a source" in written.err
    assert "WARNING" not in written.out
    assert predict() == 0
    assert "images:" not in capsys.readouterr().err
