"""`genattr evaluate` on real servables: every image judged, the scores those of the weights, nothing half-written."""

import io
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from components.dataset.perturbations import BLUR_KERNELS, blur, compress
from components.dataset.seeds import stream
from components.examples import names
from components.examples.records import RecordWriter, encode_example
from components.servable import published
from components.servable.operating_points import OperatingPoints
from components.servable.published import import_published
from pipeline.cli.main import main
from pipeline.evaluate import evaluation
from pipeline.evaluate.data import Record, open_dataset, perturbed, read_records
from pipeline.evaluate.evaluation import EvaluationOptions, evaluate
from serving.servable.acceptance import Acceptance
from tests.support.images import SIZE, encode, noise
from tests.support.published_files import describe, made_up, probabilities, write_file
from tests.support.servable_answers import verdicts_by_hand

REAL, FIRST, SECOND, UNSEEN = "real_camera", "first", "second_celeba", "unseen_web"
COUNTS = {"test": {REAL: 11, FIRST: 10, SECOND: 9}, "testonly": {UNSEEN: 7}}
TOTAL = 37
ROUNDING = 2e-4  # float32 in another order of summation, times 300 (see `weights`)


def rows_of(counts):
    """Noise of a brightness and a contrast of its own, so that random weights answer differently."""
    rows, number = [], 0
    for source, count in counts.items():
        for _ in range(count):
            number += 1
            pixels = (noise(number, SIZE + 4, SIZE + 2) * (number % 7 / 7) + 5 * (number % 9)).astype(np.uint8)
            rows.append((source, f"{source}/{number:03d}.png", encode(pixels)))
    return rows


def write_split(folder, rows, perturbations=None, shards=2):
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        with RecordWriter(folder / f"examples-{shard:05d}-of-{shards:05d}.tfrecord.gz") as writer:
            for number in range(len(rows) * shard // shards, len(rows) * (shard + 1) // shards):
                source, path, image = rows[number]
                features = {
                    names.IMAGE_BYTES: image, names.LABEL: int(not source.startswith("real")),
                    names.SOURCE: source.encode(), names.PATH: path.encode(),
                }  # fmt: skip
                if perturbations:
                    features[names.PERTURBATION] = perturbations[number % len(perturbations)].encode()
                writer.write(encode_example(features))


@pytest.fixture(scope="module")
def rows():
    return [row for counts in COUNTS.values() for row in rows_of(counts)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    for split, counts in COUNTS.items():
        write_split(folder / "span-2" / split, rows_of(counts))
    write_split(folder / "span-1" / "test", rows_of({REAL: 2, FIRST: 2}))
    return folder


@pytest.fixture(scope="module")
def servables(tmp_path_factory):
    """With heads "first" (a source) and "second" (an architecture), and without heads; both of pixels."""
    folder = tmp_path_factory.mktemp("servables")
    files = [
        write_file(folder / f"attribution_x_{name}.h5", weights(seed), describe(SIZE, True, True))
        for name, seed in HEADS.items()
    ]
    import_published(files, folder / "heads" / "1")
    primary = {layer: values for layer, values in weights(0).items() if layer.startswith("d")}
    import_published([write_file(folder / "primary_x.h5", primary, describe(SIZE, True, False))], folder / "primary/1")
    return folder


HEADS = {"first": 2, "second": 5}


def model_inputs(rows):
    windows = np.stack([np.asarray(Image.open(io.BytesIO(image)))[2:-2, 1:-1] for _, _, image in rows])
    return windows.astype(np.float32) / 127.5 - 1


@cache
def weights(head_seed):
    """Made-up weights whose last layers are scaled and shifted so that about half of the test images are called."""
    made = made_up(SIZE, True, 1, head_seed)
    inputs = model_inputs([row for counts in COUNTS.values() for row in rows_of(counts)])
    answers = probabilities(made, inputs, True)
    for layer in ("dDecision", "aDecision"):
        probability = answers[layer[0]]
        logits = np.log(probability / (1 - probability)) - made[layer]["bias"]
        made[layer]["kernel"] *= 300
        made[layer]["bias"] = np.array([-300 * np.median(logits)], np.float32)
    return made


def expected_scores(rows):
    inputs = model_inputs(rows)
    primary = probabilities(weights(0), inputs, True)["d"]
    return np.stack([primary, *(probabilities(weights(seed), inputs, True)["a"] for seed in HEADS.values())], axis=1)


def run(servables, dataset, output, name="heads", **changes):
    return evaluate(EvaluationOptions(servables / name, dataset, output, **changes))


def load(folder, name):
    return np.load(folder / f"{name}.npy", allow_pickle=False)


def read_rows(folder, name="images.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch, request):
    """Pictures have tests of their own; here only the evaluation that most tests look at draws them."""
    monkeypatch.setattr("pipeline.evaluate.evaluation.write_pictures", lambda *arguments: None)


@pytest.fixture(scope="module")
def evaluated(servables, dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("evaluated") / "report"
    return output, run(servables, dataset, output, batch_size=16)


def test_37_images_in_batches_of_16_are_37_rows_with_the_scores_of_the_weights(evaluated, rows):
    output, outcome = evaluated
    raw = load(output, "raw_predictions")
    assert (raw.dtype, raw.shape) == (np.float32, (TOTAL, 3))
    np.testing.assert_allclose(raw, expected_scores(rows), atol=ROUNDING)
    assert raw.std(axis=0).min() > 0.02  # a mixed-up order would be seen
    assert [(row["source"], row["path"]) for row in read_rows(output)] == [row[:2] for row in rows]
    assert [row["split"] for row in read_rows(output)] == ["test"] * 30 + ["testonly"] * 7
    assert (outcome.refused, outcome.document["images"], read_rows(output, "refused.jsonl")) == (0, TOTAL, [])


def test_truth_calls_verdicts_and_figures_agree_with_an_independent_computation(evaluated):
    output, outcome = evaluated
    raw, called, truth = (load(output, name) for name in ("raw_predictions", "predictions", "ground_truth"))
    read = read_rows(output)
    sources = np.array([row["source"] for row in read])
    np.testing.assert_array_equal(truth, np.stack([sources != REAL, sources == FIRST, sources == SECOND], axis=1))
    np.testing.assert_array_equal(called, raw >= 0.5)
    assert (called.mean(axis=0) > 0.2).all() and (called.mean(axis=0) < 0.8).all()
    by_hand = verdicts_by_hand(raw, np.full(3, 0.5, np.float32), ["first", "second"])
    assert [row["verdict"] for row in read] == by_hand.tolist()
    stored = json.loads((output / "metrics.json").read_text())
    assert {key: value for key, value in stored.items() if key != "format"} == outcome.document
    assert [model["matched"] for model in stored["models"]] == ["label", "instance", "architecture"]
    for column, model in enumerate(stored["models"]):
        result = model["results"]["none"]
        area = sklearn.metrics.roc_auc_score(truth[:, column], raw[:, column])
        assert result["overall"]["roc_auc"] == pytest.approx(area)
        matrix = sklearn.metrics.confusion_matrix(truth[:, column], called[:, column], labels=[0, 1])
        assert result["confusion"]["counts"] == matrix.tolist()
    assert (output / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (output / "plots" / "roc_second.png").is_file()


def test_the_result_depends_on_neither_batches_nor_who_else_was_asked(servables, dataset, evaluated, tmp_path):
    run(servables, dataset, tmp_path / "report", batch_size=5, splits=("testonly",))
    np.testing.assert_allclose(
        load(tmp_path / "report", "raw_predictions"), load(evaluated[0], "raw_predictions")[30:], atol=ROUNDING
    )


def test_a_servable_without_heads_is_evaluated_and_the_span_chosen(servables, dataset, tmp_path):
    outcome = run(servables, dataset, tmp_path / "report", name="primary", span=1)
    assert load(tmp_path / "report", "predictions").shape == (4, 1)
    assert outcome.document["dataset"]["splits"] == {"test": 4}
    assert len(outcome.document["models"]) == 1


def test_progress_reaches_the_number_of_images(servables, dataset, tmp_path):
    seen = []
    options = EvaluationOptions(servables / "primary", dataset, tmp_path / "report", batch_size=16)
    evaluate(options, progress=lambda done, total, what: seen.append((done, total, what)))
    assert [done for done, _, _ in seen] == [16, 32, 37]
    assert all(total >= done for done, total, _ in seen)


# --- refused images ---


def test_what_the_servable_refuses_is_listed_with_the_reason_and_the_rest_is_evaluated(
    servables, rows, tmp_path, capsys
):
    whole = rows[0][2]
    # Cut in the middle: the header is sound, only decoding finds the damage.
    bad = [
        (REAL, "small.png", encode(noise(1, 8, 8))),
        (FIRST, "text.png", b"no image"),
        (FIRST, "cut.png", whole[:99]),
    ]
    mixed = [rows[0], bad[0], *rows[12:15], bad[1], rows[25], bad[2]]
    write_split(tmp_path / "data" / "span-1" / "test", mixed)
    arguments = (str(servables / "heads"), str(tmp_path / "data"), "-o", str(tmp_path / "report"))
    code = main(["evaluate", *arguments, "--perturb", "noise", "--json"])
    captured = capsys.readouterr()
    assert code == 1
    assert "3 images could not be judged; see refused.jsonl" in captured.err
    kept = [rows[0], *rows[12:15], rows[25]]
    np.testing.assert_allclose(load(tmp_path / "report", "raw_predictions"), expected_scores(kept), atol=ROUNDING)
    assert [row["path"] for row in read_rows(tmp_path / "report")] == [path for _, path, _ in kept]
    assert load(tmp_path / "report/perturbed/noise", "raw_predictions").shape == (5, 3)
    reasons = {row["path"]: row["reason"] for row in read_rows(tmp_path / "report", "refused.jsonl")}
    assert list(reasons) == ["small.png", "text.png", "cut.png"]
    assert "smaller than the window" in reasons["small.png"]
    assert "is no JPEG, PNG" in reasons["text.png"]
    assert json.loads(captured.out)["refused"]["count"] == 3


def test_a_dataset_that_is_refused_as_a_whole_is_a_report_and_no_crash(servables, tmp_path):
    write_split(tmp_path / "data" / "span-1" / "test", [(REAL, f"{n}.png", encode(noise(n, 8, 8))) for n in range(3)])
    outcome = run(servables, tmp_path / "data", tmp_path / "report")
    assert (outcome.refused, outcome.document["images"]) == (3, 0)
    assert load(tmp_path / "report", "raw_predictions").shape == (0, 3)
    assert "0 images judged, 3 refused" in (tmp_path / "report" / "report.html").read_text()


# --- perturbations ---


def test_every_image_is_perturbed_by_its_path_and_the_seed_alone(servables, dataset, rows, tmp_path):
    for name, changes in (("a", {}), ("b", {"batch_size": 7}), ("c", {"seed": 1})):
        run(servables, dataset, tmp_path / name, perturbations=("blur", "noise"), splits=("test",), **changes)
    raws = {name: load(tmp_path / name / "perturbed" / "noise", "raw_predictions") for name in "abc"}
    np.testing.assert_allclose(raws["a"], raws["b"], atol=ROUNDING)
    assert np.abs(raws["a"] - raws["c"]).max() > 10 * ROUNDING
    plain = load(tmp_path / "a", "raw_predictions")
    assert (np.abs(raws["a"] - plain).max(axis=1) > ROUNDING).all()  # each one, not half of them
    # Blurred by our own hand with each kernel, one of the four gives each image's score.
    blurred = load(tmp_path / "a" / "perturbed" / "blur", "raw_predictions")
    by_kernel = []
    for kernel in BLUR_KERNELS:
        images = [blur(np.asarray(Image.open(io.BytesIO(image))), kernel) for _, _, image in rows[:30]]
        by_kernel.append(expected_scores([("", "", encode(image)) for image in images]))
    distance = np.abs(np.stack(by_kernel) - blurred).max(axis=2)
    assert distance.min(axis=0).max() < ROUNDING
    assert len(set(distance.argmin(axis=0).tolist())) > 1
    document = json.loads((tmp_path / "a" / "metrics.json").read_text())
    for model in document["models"]:
        assert list(model["results"]) == ["none", "blur", "noise"]
        none, noisy = model["results"]["none"], model["results"]["noise"]
        drop = none["overall"]["average_precision"] - noisy["overall"]["average_precision"]
        assert noisy["drop"]["average_precision"] == pytest.approx(drop)


def test_strengths_are_spread_as_at_preparation(rows):
    """A JPEG quality is drawn evenly from 10 to 74."""
    image = encode(noise(0, 16, 16))
    from components.dataset import perturbations

    drawn = []
    original = perturbations.compress
    try:
        perturbations.compress = lambda pixels, quality: drawn.append(quality) or pixels
        for number in range(400):
            perturbed(Record(f"{number}.png", "test", FIRST, 1, "", image), "jpeg", seed=0)
    finally:
        perturbations.compress = original
    assert len(drawn) == 400
    assert (min(drawn), max(drawn)) == (10, 74)
    assert abs(np.mean(drawn) - 42) < 3  # five standard errors of the mean of 400


def test_the_strength_is_the_first_draw_of_the_images_own_stream(rows):
    image = rows[0][2]
    quality = int(stream("evaluate", "jpeg", 0, "a.png").integers(10, 75))
    expected = compress(np.asarray(Image.open(io.BytesIO(image))), quality)
    actual = perturbed(Record("a.png", "test", FIRST, 1, "", image), "jpeg", seed=0)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(actual))), expected)


def test_an_unknown_perturbation_is_refused(rows):
    with pytest.raises(ValueError, match="must be one of blur, crop, jpeg, noise, got 'multi'"):
        perturbed(Record("a", "test", FIRST, 1, "", rows[0][2]), "multi", 0)


def test_figures_are_sliced_by_what_the_dataset_says_of_its_images(servables, rows, tmp_path):
    write_split(tmp_path / "data" / "span-1" / "test", rows, perturbations=("none", "blur+noise", "jpeg"))
    outcome = run(servables, tmp_path / "data", tmp_path / "report")
    slices = outcome.document["models"][0]["results"]["none"]["by_perturbation"]
    assert {name: figures["images"] for name, figures in slices.items()} == {"none": 13, "blur+noise": 12, "jpeg": 12}
    assert read_rows(tmp_path / "report")[1]["perturbation"] == "blur+noise"


# --- what is refused before anything is loaded ---


@pytest.fixture
def no_model(monkeypatch):
    """Fails the test if the servable is loaded."""

    def fail(*arguments):
        raise AssertionError("loaded the servable before the arguments were checked")

    monkeypatch.setattr("serving.client.local_model.LocalModel.__init__", fail)


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"servable": "absent"}, 1, "absent: must be a directory that holds a servable"),
        ({"dataset": "absent"}, 2, "absent: is not a folder. Make a dataset with"),
        ({"options": ["--span", "9"]}, 2, "has no span 9; there are: span-1, span-2"),
        ({"options": ["--split", "train"]}, 2, "has no split train; there are: test, testonly"),
        ({"options": ["--batch-size", "0"]}, 2, "--batch-size: must be 1 to 256, got 0"),
        ({"dataset": "dataset/span-1"}, 2, "has no span; there are: none. Give the folder above it."),
        ({"dataset": "small"}, 2, "its images have 16 x 16 pixels"),
        ({"output": "taken"}, 2, "taken: must be new, empty, or an earlier evaluation"),
        ({"servable": "pointless"}, 1, "operating_points.json: cannot be read"),
        ({"servable": "damaged"}, 1, "operating_points.json: is damaged"),
        ({"servable": "beyond"}, 1, "the operating point of 'detection' must lie in 0..1"),
    ],
)
def test_unfit_arguments_are_refused_at_once(servables, dataset, tmp_path, capsys, no_model, changes, code, message):
    (tmp_path / "dataset").symlink_to(dataset)
    write_split(tmp_path / "small" / "span-1" / "test", [])
    (tmp_path / "small/span-1/manifest.json").write_text(json.dumps({"parameters": {"size": 16}}))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.tex").touch()
    for name, content in (("pointless", None), ("damaged", "[1]"), ("beyond", '{"detection": 1.5, "sources": {}}')):
        (tmp_path / name / "1" / "assets").mkdir(parents=True)
        (tmp_path / name / "1" / "saved_model.pb").touch()
        if content:
            (tmp_path / name / "1" / "assets" / "operating_points.json").write_text(content)
    (tmp_path / "heads").symlink_to(servables / "heads")
    chosen = {"servable": "heads", "dataset": "dataset", "output": "report", "options": []} | changes
    paths = [str(tmp_path / chosen[name]) for name in ("servable", "dataset")]
    found = main(["evaluate", *paths, "-o", str(tmp_path / chosen["output"]), *chosen["options"]])
    said = " ".join(capsys.readouterr().err.split())
    assert (found, message in said) == (code, True), said
    assert not (tmp_path / "report").exists()


def test_splits_without_images_are_refused_and_nothing_is_left(servables, tmp_path):
    write_split(tmp_path / "data" / "span-1" / "test", [])
    with pytest.raises(ValueError, match="holds no image in test"):
        run(servables, tmp_path / "data", tmp_path / "out" / "report")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_dataset_is_exit_code_1_and_the_earlier_report_stays(servables, rows, tmp_path, capsys, damage):
    arguments = [str(servables / "primary"), str(tmp_path / "data"), "-o", str(tmp_path / "report")]
    write_split(tmp_path / "data" / "span-1" / "test", rows, shards=1)
    assert main(["evaluate", *arguments]) == 0
    assert "report.html" in capsys.readouterr().out
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    (shard,) = (tmp_path / "data/span-1/test").iterdir()
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-500])
    else:
        with RecordWriter(shard) as writer:
            writer.write(encode_example({"something": b"else"}))
    assert main(["evaluate", *arguments]) == 1
    assert f"{shard.name}: cannot be read:" in "".join(capsys.readouterr().err.split("\n"))
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_evaluation_replaces_an_earlier_one(servables, dataset, tmp_path):
    run(servables, dataset, tmp_path / "report", perturbations=("noise",))
    run(servables, dataset, tmp_path / "report")
    assert not (tmp_path / "report" / "perturbed").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_a_servable_that_answers_for_other_heads_than_it_says_is_refused(servables, dataset, tmp_path, monkeypatch):
    described = evaluation.describe

    def renamed(path):
        found = described(path)
        return type(found)(found.version, 0.5, {"other": 0.5, "second": 0.5}, "instance", SIZE, "pixel")

    monkeypatch.setattr(evaluation, "describe", renamed)
    with pytest.raises(evaluation.ServableError, match=r"answers for \['first', 'second'\]"):
        run(servables, dataset, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


BAND = (0.3, 0.7)


@pytest.fixture(scope="module")
def banded(servables, tmp_path_factory):
    """The servable with heads, exported with a band."""
    folder = tmp_path_factory.mktemp("banded")
    files = sorted((servables.glob("attribution_x_*.h5")), key=lambda file: list(HEADS).index(file.stem.split("_")[2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "OperatingPoints", lambda *thresholds: OperatingPoints(*thresholds, BAND))
        import_published(files, folder / "heads" / "1")
    return folder


def test_uncertain_images_are_those_in_the_servables_band(banded, dataset, tmp_path, evaluated):
    outcome = run(banded, dataset, tmp_path / "report")
    raw = load(tmp_path / "report", "raw_predictions")
    np.testing.assert_array_equal(raw, load(evaluated[0], "raw_predictions"))  # the band changes no probability
    expected = verdicts_by_hand(raw, np.full(3, 0.5, np.float32), ["first", "second"], BAND).tolist()
    assert [row["verdict"] for row in read_rows(tmp_path / "report")] == expected
    figures = outcome.document["verdicts"]["none"]["overall"]
    assert 0 < figures["uncertain"]["count"] == expected.count("uncertain") < TOTAL
    assert sum(counts[-1] for counts in figures["confusion"]["counts"]) == expected.count("uncertain")
    assert outcome.document["servable"]["uncertain_band"] == list(BAND)
    assert "uncertain from 0.3 to 0.7." in outcome.document["servable"]["description"]
    assert "uncertain" not in json.dumps(evaluated[1].document)


@pytest.mark.parametrize("score", ["max_logit", "energy"])
def test_an_acceptance_threshold_changes_no_probability_and_makes_fakes_unknown(
    servables, dataset, tmp_path, evaluated, score
):
    acceptance = Acceptance(score, 1e3, 0.05)  # beyond every clipped logit: no generator is ever named
    files = sorted((servables.glob("attribution_x_*.h5")), key=lambda file: list(HEADS).index(file.stem.split("_")[2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "OperatingPoints", lambda *given: OperatingPoints(*given, acceptance=acceptance))
        import_published(files, tmp_path / "heads" / "1")
    outcome = run(tmp_path, dataset, tmp_path / "report")
    np.testing.assert_array_equal(load(tmp_path / "report", "raw_predictions"), load(evaluated[0], "raw_predictions"))
    named = [row["verdict"] in HEADS for row in read_rows(evaluated[0])]
    assert any(named)
    expected = [
        "unknown_generator" if is_named else row["verdict"]
        for is_named, row in zip(named, read_rows(evaluated[0]), strict=True)
    ]
    assert [row["verdict"] for row in read_rows(tmp_path / "report")] == expected
    assert outcome.document["servable"]["acceptance"] == acceptance.to_json()
    assert f"unknown generator below 1e+03 of {score}" in outcome.document["servable"]["description"]
    assert "acceptance" not in json.dumps(evaluated[1].document)


def test_the_console_counts_uncertain_images_where_there_is_a_band(banded, servables, dataset, tmp_path, capsys):
    assert main(["evaluate", str(banded / "heads"), str(dataset), "-o", str(tmp_path / "banded")]) == 0
    count = json.loads((tmp_path / "banded/metrics.json").read_text())["verdicts"]["none"]["overall"]["uncertain"]
    assert f"called real; uncertain: {count['count']}" in capsys.readouterr().out
    assert main(["evaluate", str(servables / "heads"), str(dataset), "-o", str(tmp_path / "plain")]) == 0
    assert "uncertain" not in capsys.readouterr().out


def test_a_servable_that_says_uncertain_without_a_band_is_refused(servables, dataset, tmp_path, monkeypatch):
    from serving.client.local_model import LocalModel

    predict = LocalModel.predict

    def unsure(self, images, signature="serving_default"):
        return [replace(answer, verdict="uncertain") for answer in predict(self, images, signature)]

    monkeypatch.setattr(LocalModel, "predict", unsure)
    with pytest.raises(evaluation.ServableError, match="with the verdict 'uncertain'"):
        run(servables, dataset, tmp_path / "report")


@pytest.mark.parametrize("band", [[0.6, 0.4], [0.4], 0.5, ["a", "b"], [-1, 0.5], [0.1, 0.2, 0.3]])
def test_a_servable_whose_band_is_none_is_damaged(servables, tmp_path, band):
    points = json.loads((servables / "heads" / "1" / "assets" / "operating_points.json").read_text())
    (tmp_path / "1" / "assets").mkdir(parents=True)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "1" / "assets" / "operating_points.json").write_text(json.dumps({**points, "uncertain_band": band}))
    with pytest.raises(evaluation.ServableError, match=r"operating_points\.json: is damaged: "):
        evaluation.describe(tmp_path)


def test_an_answer_that_is_no_probability_counts_as_refused(servables, dataset, tmp_path, monkeypatch):
    from serving.client.local_model import LocalModel

    predict = LocalModel.predict

    def sometimes_nan(self, images, signature="serving_default"):
        answers = predict(self, images, signature)
        broken = type(answers[0])(float("nan"), answers[0].source_probabilities, answers[0].verdict)
        return [broken, *answers[1:]]

    monkeypatch.setattr(LocalModel, "predict", sometimes_nan)
    outcome = run(servables, dataset, tmp_path / "report", batch_size=37)
    assert (outcome.refused, outcome.document["images"]) == (1, 36)
    assert "nan, which is no probability" in read_rows(tmp_path / "report", "refused.jsonl")[0]["reason"]


# --- datasets ---


def test_records_are_streamed_in_the_order_of_the_files(dataset, rows):
    records = read_records(open_dataset(dataset))
    assert next(records).image == rows[0][2]  # before the rest is read
    assert [(record.source, record.path, record.image) for record in records] == rows[1:]


def test_the_newest_span_and_the_splits_that_are_there_are_the_default(dataset):
    opened = open_dataset(dataset)
    assert (opened.span, list(opened.files)) == (2, ["test", "testonly"])
    assert (opened.count, opened.size, opened.sources) == (None, None, ())  # no manifest tells
    assert list(open_dataset(dataset, span=1).files) == ["test"]


# --- published weights ---


def golden_dataset(golden, folder, files):
    """Golden images as a dataset; the label is made up, half real and half fake."""
    rows = [
        (("real_x", "progan_celeba")[number % 2], file, (golden / "golden/images" / file).read_bytes())
        for number, file in enumerate(files)
    ]
    write_split(folder / "span-1" / "test", rows)


@pytest.mark.parametrize("name", ["attribution_ganfp_progan_dct", "attribution_faceshqp_tpdne", "primary_ganfp"])
def test_published_weights_give_the_published_scores_and_counts(shared_folder, tmp_path, name):
    """1e-4: float32 in another order of summation; 5e-3 for the pure gradient, whose spectrum is rounding noise."""
    golden = shared_folder / "reference"
    entries = {entry["name"]: entry for entry in json.loads((golden / "golden/outputs/index.json").read_text())}
    size = entries[name]["native_size"]
    files = entries[name]["images"][str(size)]
    statistics = golden / "statistics/ganfp/dctnorm" if name.endswith("_dct") else None
    import_published([golden / "weights" / f"{name}.h5"], tmp_path / "servable", statistics)
    golden_dataset(golden, tmp_path / "data", files)
    options = EvaluationOptions(tmp_path / "servable", tmp_path / "data", tmp_path / "report", batch_size=5)
    outcome = evaluate(options)
    outputs = np.load(golden / "golden/outputs" / f"{name}.npz")
    expected = np.stack([outputs[key] for key in (f"det_{size}", f"att_{size}") if key in outputs], axis=1)
    tolerance = np.array([[5e-3 if "05_grad0" in file else 1e-4] for file in files])
    raw, called = load(tmp_path / "report", "raw_predictions"), load(tmp_path / "report", "predictions")
    assert raw.shape == expected.shape
    assert (np.abs(raw - expected) <= tolerance).all()
    clear = np.abs(expected - 0.5) > tolerance
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(called[clear], (expected >= 0.5)[clear])
    labels = np.arange(len(files)) % 2
    matrix = sklearn.metrics.confusion_matrix(labels, called[:, 0], labels=[0, 1])
    assert outcome.document["models"][0]["results"]["none"]["confusion"]["counts"] == matrix.tolist()
    if name == "attribution_ganfp_progan_dct":  # named "progan": the architecture of progan_celeba
        assert outcome.document["models"][1]["matched"] == "architecture"
        matrix = sklearn.metrics.confusion_matrix(labels, called[:, 1], labels=[0, 1])
        assert outcome.document["models"][1]["results"]["none"]["confusion"]["counts"] == matrix.tolist()
