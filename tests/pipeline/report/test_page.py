"""All pages share one frame and one style sheet, and nothing from outside gets out of its place."""

from importlib import resources

import jinja2
import pytest

from pipeline.model_card.rendering import as_html
from pipeline.model_card.sections import Section, Table
from pipeline.report.page import render_page

TEMPLATES = resources.files("pipeline.report").joinpath("templates")
PAGES = sorted(file.name for file in TEMPLATES.iterdir() if file.name not in ("base.html", "base.css", "parts.html"))


def test_every_report_has_a_page():
    assert PAGES == ["evaluation.html", "model_card.html", "monitoring.html", "run.html"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_brings_no_frame_and_no_style_of_its_own(name):
    text = TEMPLATES.joinpath(name).read_text(encoding="utf-8")
    assert "{% extends 'base.html' %}" in text
    for part in ("<html", "<style", "<script", "Content-Security-Policy"):
        assert part not in text


def test_a_page_holds_the_whole_style_sheet_and_forbids_everything_else():
    text = render_page("model_card.html", title="a", sections=[])
    assert text.startswith("<!DOCTYPE html>\n")
    assert f"<style>\n{TEMPLATES.joinpath('base.css').read_text(encoding='utf-8')}" in text
    assert "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline';" in text
    assert text.endswith("</html>\n")


def test_a_value_that_is_not_given_is_an_error_and_no_gap():
    with pytest.raises(jinja2.UndefinedError, match="'sections' is undefined"):
        render_page("model_card.html", title="a")


def test_columns_of_numbers_are_aligned_at_the_right_and_others_are_not():
    rows = (
        ("primary", "1,234", ">0.999", "97\u202f%", "3 of 4", "0.9 to 1.0"),
        ("head", "", "\u2013", "<0.1\u202f%", "5", "\u2013"),
    )
    table = Table("figures", ("model", "images", "area", "rate", "blessed", "interval"), rows)
    text = as_html("<b>", [Section("s", tables=(table,))])
    aligned = [heading for heading in table.headings if f'<th scope="col" class="n">{heading}</th>' in text]
    assert aligned == ["images", "area", "rate", "interval"]
    assert '<td class="n">1,234</td>' in text
    assert "<td>3 of 4</td>" in text
    assert "&lt;b&gt;" in text


def test_a_table_without_rows_is_a_heading():
    text = as_html("a", [Section("s", tables=(Table("t", ("model", "area"), ()),))])
    assert ">area</th></tr></thead>" in text
