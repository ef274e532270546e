"""The report says what is there, says what is missing, and lets nothing from outside become markup."""

import html.parser
import io
import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from components.metrics.calibration import Calibration
from components.metrics.confusion import verdict_confusion
from components.metrics.scores import roc_auc
from pipeline.report.data import (
    BaselineReport,
    CombinedHeads,
    CopiesReport,
    DataReport,
    Gate,
    ModelReport,
    NodeRun,
    RunReport,
    ScoreSet,
)
from pipeline.report.model_view import source_rows
from pipeline.report.run import render, write_report
from pipeline.report.text import duration, enumeration, number, quantity, share
from serving.servable.acceptance import Acceptance

REALS = ("real_ffhq", "camera")
FAKES = ("progan_celeba", "sngan_celeba")
VOID = {"meta", "img", "br", "wbr", "hr", "link", "input"}


class _Page(html.parser.HTMLParser):
    """Collects elements and text, and refuses tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self.words.append(" " if tag in ("td", "th") else "")

    def handle_data(self, data):
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def _image(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _scores(split: str, own: str | None, fakes=FAKES, reals=REALS, each: int = 20) -> ScoreSet:
    sources = np.repeat([*reals, *fakes], each)
    labels = np.isin(sources, fakes if own is None else [own]).astype(np.int64)
    random = np.random.default_rng(len(split))
    scores = 1 / (1 + np.exp(-random.normal(5 * labels - 2.5, 1.5)))
    return ScoreSet(split, labels, scores.astype(np.float32), sources)


def _model(own: str | None = None, **changes) -> ModelReport:
    fields = {
        "name": own or "primary",
        "task": "attribution" if own else "detection",
        "blessed": True,
        "gates": [Gate("roc_auc", 0.9, None, 0.975, True)],
        "metrics": {},
        "threshold": 0.5,
        "threshold_rule": "fixed",
        "history": {"loss": [0.7, 0.5], "val_loss": [0.7, 0.6], "val_roc_auc": [0.8, 0.9], "seconds": [3.0, 3.2]},
        "parameters": 1234,
        "training_seconds": 61.0,
        "scores": [_scores("test", own), _scores("eval", own)],
    }
    return ModelReport(**{**fields, **changes})


def _data(fakes=FAKES, reals=REALS) -> DataReport:
    sources = [*reals, *fakes]
    return DataReport(
        span=3,
        counts={split: dict.fromkeys(sources, n) for split, n in (("train", 1000), ("eval", 10), ("test", 20))},
        labels={source: int(source in fakes) for source in sources},
        rejected={"truncated": 2},
        rejected_examples=[("fake/progan_celeba/7.png", "truncated", "expected 9 bytes, found 3")],
        duplicates=4,
        formats={source: {"PNG": 1030} for source in sources},
        samples={source: [_image(0), b"no image"] for source in sources},
        spectra={source: np.random.default_rng(1).normal(size=(16, 16)) for source in sources},
    )


def _run(**changes) -> RunReport:
    sources = np.repeat(["real_ffhq", *FAKES], 5)
    labels = np.isin(sources, FAKES)
    fields = {
        "pipeline": "faces",
        "run_id": "run-1",
        "created": datetime(2025, 1, 2, 3, 4, tzinfo=UTC),
        "outcome": "pushed",
        "message": "",
        "servable": "serving/generator_attribution/17",
        "nodes": [NodeRun("Transform", "cached", 0.2), NodeRun("PrimaryTrainer", "executed", 75.0)],
        "data": _data(),
        "models": [_model(), *map(_model, FAKES)],
        "confusion": verdict_confusion(sources, np.where(labels, sources, "real"), FAKES, labels),
        "versions": {"tfx": "1.21.0"},
        "digests": {"source": "sha256:abc"},
        "configuration": "name: faces\n",
    }
    return RunReport(**{**fields, **changes})


def _empty(**changes) -> RunReport:
    return _run(
        servable=None,
        nodes=[],
        data=None,
        models=[],
        confusion=None,
        versions={},
        digests={},
        configuration="",
        **changes,
    )


@pytest.fixture(scope="module")
def full() -> str:
    return render(_run())


def test_a_full_report_is_well_formed_self_contained_and_has_every_section(full):
    text, page = full, _Page(full)
    assert text.startswith("<!DOCTYPE html>")
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"@import|url\((?!#)", text)
    sections = {attributes.get("id") for tag, attributes in page.elements if tag == "section"}
    assert sections == {a["href"][1:] for tag, a in page.elements if tag == "a"}
    assert "No " not in page.text.replace("No cause", "")  # nothing is missing
    assert "Acceptance: " not in page.text
    for words in ("Pushed", "serving/generator_attribution/17", "run-1", "2025-01-02 03:04 UTC", "sha256:abc"):
        assert words in page.text


@pytest.mark.parametrize("confusion", [True, False])
@pytest.mark.parametrize(
    ("acceptance", "said"),
    [
        (Acceptance("energy", 1.5, 0.05), "Acceptance: unknown generator below 1.5 of energy"),
        (Acceptance("energy", None, 0.05, "3 images <b>"), "Acceptance: no acceptance threshold (3 images <b>)."),
    ],
)
def test_the_acceptance_threshold_or_its_absence_stands_with_the_verdicts(acceptance, said, confusion):
    text = render(_run(acceptance=acceptance, **({} if confusion else {"confusion": None})))
    assert said in _Page(text).text


def test_identifiers_are_unique_and_every_picture_has_a_text(full):
    page = _Page(full)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in page.elements if tag == "svg")


def test_the_same_report_gives_the_same_text(full):
    assert render(_run()) == full


def _compared(name: str = "gdaconv") -> dict[str, object]:
    """A detecting and a multiclass baseline, and the heads combined, for a report."""
    classes = ("real", *FAKES)
    labels = np.repeat([0, 1, 2], 20)
    scores = np.random.default_rng(5).dirichlet([1, 1, 1], 60)
    sources = np.repeat(["real_ffhq", *FAKES], 20)
    detecting, softmax = (
        BaselineReport(
            architecture=name,
            task=task,
            source="",
            classes=of_classes,
            images_left_out=0,
            threshold=None,
            parameters=38_885,
            training_seconds=9.0,
            history={"loss": [1.0, 0.4]},
            scores=ScoreSet("test", of_labels, of_scores, sources),
        )
        for task, of_classes, of_labels, of_scores in (
            ("detection", (), labels.clip(max=1), scores[:, 1]),
            ("multiclass", classes, labels, scores),
        )
    )
    verdicts = np.array(["unknown_generator", *np.array(classes)[labels[1:]]])
    return {
        "baselines": [detecting, softmax],
        "combined": CombinedHeads(classes, labels, verdicts, scores, images_left_out=7),
    }


def test_baselines_stand_beside_the_proposed_models(full):
    assert "Comparison with baselines" not in full
    text = render(_run(**_compared()))
    page = _Page(text)
    sections = {attributes.get("id") for tag, attributes in page.elements if tag == "section"}
    assert sections == {a["href"][1:] for tag, a in page.elements if tag == "a"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for words in ("gdaconv, detection", "gdaconv, softmax", "proposed, heads combined", "38,885", "unknown_generator"):
        assert words in page.text


def _copies(name: str, gates=(), left_out: int = 0) -> CopiesReport:
    quality = int(name.removeprefix("jpeg_")) if name.startswith("jpeg_") else None
    scores = {own or "primary": _scores("test", own) for own in (None, *FAKES)}
    return CopiesReport(name, quality, 80, left_out, {"roc_auc": 0.9}, gates, scores)


KINDS = [_copies("clean"), _copies("jpeg_75", [Gate("roc_auc", 0.99, None, 0.9, False)], 3), _copies("jpeg_95")]


def test_copies_stand_in_a_table_of_their_own_and_beside_every_area():
    text = render(_run(copies=KINDS))
    page = _Page(text)
    sections = {attributes.get("id") for tag, attributes in page.elements if tag == "section"}
    assert sections == {a["href"][1:] for tag, a in page.elements if tag == "a"}
    for words in (
        "saved alike (JPEG 95)",
        "all stored again as JPEG of quality 95",
        "The images of split test as they were",
        "803 too small",
        "missed✗ roc_auc 0.900 (≥ 0.99)",
        "ROC-AUC against JPEG quality",
    ):
        assert words in page.text
    area = number(roc_auc(KINDS[2].scores["primary"].labels, KINDS[2].scores["primary"].scores))
    models = text[text.index('<section id="models">') : text.index('<section id="data">')]
    row = _Page(models[models.index("<tbody>") : models.index("</tr>", models.index("<tbody>"))] + "</tr></tbody>").text
    assert row.count(area) == 2  # plain and saved alike, as here they have the same scores


def test_without_copies_the_report_says_how_to_get_them(full):
    text = _Page(full).text
    assert "saved alike (JPEG" not in text
    assert "set evaluation.perturbations: {jpeg_95: {}} to see which part of a ROC-AUC is format" in text
    assert "Not measured: evaluation.perturbations names kinds of copies" in text


def test_probabilities_have_their_error_before_and_after_calibration():
    labels = np.repeat([0, 1], 100)
    scores = ScoreSet("test", labels, np.where(labels, 0.75, 0.25), np.where(labels, "gan", "camera"))
    # Logits of 0.25 and 0.75 are those of 0.1 and 0.9 halved; all images are on the right side of 0.5.
    calibration = Calibration(0.5, 0.0, "fitted on 30 positive and 40 negative images")
    page = _Page(render(_run(models=[_model(scores=[scores], calibration=calibration)])))
    assert "primary test 200 0.100 0.2500.250 to 0.250" in page.text
    assert "0.062 fitted on 30 positive and 40 negative images" in page.text
    assert "before calibration: 200 images in 2 groups" in page.text
    assert "an ECE cannot be told" not in page.text


def test_with_few_images_an_error_of_calibration_claims_nothing(full):
    text = _Page(full).text
    assert "With fewer than 100 images an ECE cannot be told more closely than within its interval: primary (80" in text
    assert "not recorded: the module is of before calibration" in text


def test_a_baselines_name_never_becomes_markup():
    assert "<script" not in render(_run(**_compared("<script>alert(1)</script>")))


def test_a_run_that_failed_after_its_push_says_that_something_was_pushed():
    page = _Page(render(_run(outcome="failed", message="BaselineTrainer.gdaconv.detection: no memory.")))
    assert "Failed after the push" in page.text and "nothing was pushed" not in page.text


def test_what_comes_from_outside_never_becomes_markup():
    evil = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7*7 }}${x}_&lt;"
    fakes, reals = (f"a{evil}", f"b{evil}"), (f"c{evil}",)
    sources = [reals[0], *fakes]
    models = [
        replace(
            _model(),
            name=evil,
            task=evil,
            calibration=Calibration(1.0, 0.0, evil),
            threshold_rule=evil,
            gates=[Gate(evil, 0.1, 0.9, 0.5, False)],
            metrics={evil: 1.0},
            history={evil: [1.0], f"val_loss{evil}": [1.0]},
            scores=[replace(_scores("test", None, fakes, reals), split=evil)],
        ),
    ]
    data = replace(
        _data(fakes, reals),
        rejected={evil: 1},
        rejected_examples=[(evil, evil, evil)],
        formats={source: {evil: 1} for source in sources},
    )
    report = _run(
        pipeline=evil,
        run_id=evil,
        message=evil,
        servable=evil,
        nodes=[NodeRun(evil, "failed", 1.0)],
        data=data,
        models=models,
        confusion=([evil, evil], [evil, evil], np.ones((2, 2), int)),
        versions={evil: evil},
        digests={evil: evil},
        configuration=evil,
        copies=[CopiesReport(evil, 90, 80, 1, {}, [Gate(evil, 0.1, 0.9, 0.5, False)], {evil: models[0].scores[0]})],
    )
    text = render(report)
    page = _Page(text)
    assert not {"script"} & {tag for tag, _ in page.elements}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "<script" not in text and "<img src=x" not in text
    assert page.text.count("alert(1)") >= 20 and "{{ 7*7 }}" in page.text


def test_a_run_that_failed_at_once_says_what_is_missing_everywhere():
    page = _Page(render(_empty(outcome="failed", message="ImportExampleGen: no span under data/faces.")))
    assert "Failed: nothing was pushed ImportExampleGen: no span under data/faces." in page.text
    for words in (
        "No models: no training finished in this run.",
        "No data: the run did not get as far",
        "No spectra",
        "No scores: the evaluation did not run.",
        "No verdicts",
        "No node was recorded.",
        "Versions were not recorded.",
        "Digests were not recorded.",
        "The configuration was not recorded.",
    ):
        assert words in page.text


def test_a_stopped_run_without_a_message_says_that_no_cause_was_recorded():
    assert "Stopped: nothing was pushed No cause was recorded." in _Page(render(_empty(outcome="stopped"))).text


def test_a_model_without_scores_or_history_says_so_and_shows_the_evaluators_figures():
    model = _model(
        blessed=None, scores=[], history={}, threshold=None, metrics={"roc_auc": 0.8125, "example_count": 84.0}
    )
    page = _Page(render(_run(models=[model])))
    for words in ("not evaluated", "No scores: the evaluation did not run.", "No training history", "0.812"):
        assert words in page.text
    assert "example_count 84." in page.text


def test_single_class_scores_and_nan_metrics_are_dashes_with_a_caution():
    scores = ScoreSet("test", np.ones(5, int), np.linspace(0.1, 0.9, 5), np.full(5, "progan_celeba"))
    model = _model(scores=[scores], metrics={"roc_auc": float("nan")}, gates=[Gate("roc_auc", 0.9, None, None, False)])
    page = _Page(render(_run(models=[model])))
    assert "Images of one class only: most figures are undefined for primary (split test)." in page.text
    assert "nan" not in page.text
    assert "not measured (≥ 0.9)" in page.text


def test_few_images_get_a_caution_and_many_do_not():
    assert (
        "Rough figures: fewer than 100 images of a class for primary (40 positive, 40 negative)"
        in _Page(render(_run(models=[_model()]))).text
    )
    assert "Rough figures" not in render(_run(models=[_model(scores=[_scores("test", None, each=50)])]))


def test_uncertain_images_have_a_column_that_the_report_explains():
    sources = np.array([REALS[0], FAKES[0], FAKES[0]])
    verdicts = ["uncertain", "uncertain", FAKES[0]]
    counts = verdict_confusion(sources, verdicts, FAKES, np.isin(sources, FAKES), with_uncertain=True)
    assert "An “uncertain” image got no verdict" in render(_run(confusion=counts))
    assert "uncertain" not in render(_run())


def test_a_contradiction_between_evaluator_and_scores_is_shown():
    text = _Page(render(_run(data=None, models=[_model(metrics={"roc_auc": 0.5})]))).text
    assert "The Evaluator's ROC-AUC and that of the scores shown here differ for primary (0.500 there" in text


def test_what_preparation_and_the_check_on_data_warn_of_is_a_caution(full):
    warning = "file format tells real from fake for 98 % of the images."
    text = _Page(render(_run(data=replace(_data(), warnings=[warning])))).text
    assert warning in text
    assert warning not in _Page(full).text


def test_counts_add_up_in_the_table_of_the_data(full):
    text = _Page(full).text
    assert "all real 2,000 20 40 2,060" in text
    assert "all 4,000 40 80 4,120" in text
    assert "2 rejected, 4 left out as duplicates." in text


def test_source_rows_count_average_and_compare_each_source():
    test = ScoreSet(
        "test", np.array([0, 0, 1, 1]), np.array([0.1, 0.5, 0.5, 0.9]), np.array(["camera", "camera", "gan", "gan"])
    )
    unseen = ScoreSet("testonly", np.array([1]), np.array([0.3]), np.array(["newgan"]))
    rows = source_rows([_model(scores=[test, unseen]), _model("gan", scores=[])])
    assert [(row.split, row.source) for row in rows] == [("test", "camera"), ("test", "gan"), ("testonly", "newgan")]
    assert all(row.cells[1] is None for row in rows)
    camera, gan, newgan = (row.cells[0] for row in rows)
    assert (camera.images, camera.mean, camera.called, camera.positive) == (2, pytest.approx(0.3), 0.5, False)
    assert (gan.called, gan.roc_auc, gan.positive) == (1.0, 0.875, True)
    assert newgan.roc_auc == 0.5  # against the camera images of the split that the model is judged by


def test_a_hundred_sources_fit_in_one_page():
    fakes = tuple(f"gan{index:03}_celeba" for index in range(100))
    models = [_model(scores=[_scores("test", None, fakes, each=3)])]
    models += [_model(fake, scores=[_scores("test", fake, fakes, each=3)]) for fake in fakes[:14]]
    text = render(_run(data=_data(fakes), models=models))
    page = _Page(text)
    assert "90 more spectra" in page.text and "3 more models" in page.text
    assert len(text) < 8_000_000


def test_shape_mistakes_are_refused_by_model_and_split():
    wrong = replace(_scores("test", None), sources=np.array(["camera"]))
    with pytest.raises(ValueError, match=r"primary, split test: .* got \(1,\) and \(80,\)"):
        render(_run(models=[_model(scores=[wrong])]))


def test_unknown_outcomes_and_states_are_refused():
    with pytest.raises(ValueError, match=r"outcome: must be one of .* got 'fine'"):
        _run(outcome="fine")
    with pytest.raises(ValueError, match=r"state of node 'Pusher': must be one of .* got 'done'"):
        NodeRun("Pusher", "done", None)


def test_writing_makes_the_directory_and_replaces_the_file(tmp_path):
    path = tmp_path / "reports" / "run-1" / "report.html"
    write_report(_empty(outcome="failed", message="first"), path)
    write_report(_empty(outcome="failed", message="second"), path)
    assert "second" in path.read_text(encoding="utf-8") and "first</p>" not in path.read_text(encoding="utf-8")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_a_write_that_fails_leaves_the_old_report_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")

    def full(_descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_report(_empty(outcome="failed"), path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.9996), ">0.999"),
        (number(0.9994), "0.999"),
        (number(1.0), "1.000"),
        (number(0.0001), "<0.001"),
        (number(0.0), "0.000"),
        (number(-0.25), "-0.250"),
        (number(float("nan")), "–"),  # noqa: RUF001
        (quantity(1234.0), "1,234"),
        (quantity(float("inf")), "inf"),
        (share(0.9999), ">99.9\u202f%"),
        (share(0.995), "99.5\u202f%"),
        (share(0.0004), "<0.1\u202f%"),
        (share(0.0), "0\u202f%"),
        (duration(0.05), "0.1\u202fs"),
        (duration(59.7), "1\u202fmin 00\u202fs"),
        (duration(3599.8), "1\u202fh 00\u202fmin"),
        (duration(None), "–"),  # noqa: RUF001
        (enumeration(["a", "b", "c"], 2), "a, b and 1 more"),
    ],
)
def test_numbers_claim_no_more_than_they_know(text, expected):
    assert text == expected
