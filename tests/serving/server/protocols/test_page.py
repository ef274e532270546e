"""The page, as headers and documents, and as a user meets it in a headless Chromium."""

import asyncio
import base64
import http.client
import io
import json
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
import scipy.fft
from aiohttp import web
from PIL import Image

from serving import contract
from serving.errors import ModelNotFoundError
from serving.server.protocols.page import add_page, describe_version
from tests.support.browser import find_chromium, running_loop, running_page

RED, GREEN = "progan_red", "stylegan_green"
THRESHOLDS = {"detection": 0.5, "sources": {RED: 0.5, GREEN: 0.5}}
HOSTILE = "<img src=x onerror=alert(1)>.png"
SIZE = 16

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="needs chromium or google-chrome on the PATH")


@dataclass
class Site:
    """A server with the page, whose REST API is that of another server.

    Attributes:
        url: where it answers.
        description: what /ui/model.json says, or raises.
        statuses: what the next requests for a prediction are answered with, in place of the other server's answer.
        answer: what every prediction is answered with, in place of the other server's answer.
        most_in_flight: how many requests for a prediction it ever had at the same time.
    """

    url: str = ""
    description: object = None
    statuses: list = field(default_factory=list)
    answer: object = None
    in_flight: int = 0
    most_in_flight: int = 0

    def describe(self):
        if isinstance(self.description, Exception):
            raise self.description
        return self.description

    def reset(self):
        self.description = describe_fixture(SIZE)
        self.statuses.clear()
        self.answer, self.most_in_flight = None, 0


def describe_fixture(size=SIZE, representation="pixel"):
    return {
        "name": contract.DEFAULT_MODEL_NAME,
        "version": 3,
        "operating_points": {**THRESHOLDS, "input": {"size": size, "representation": representation}},
        "limits": {"image_bytes": 30_000, "image_pixels": 1000 * 1000},
    }


def site_app(site, upstream):
    async def forward(request):
        site.in_flight += 1
        site.most_in_flight = max(site.most_in_flight, site.in_flight)
        try:
            await asyncio.sleep(0.05)  # long enough for requests to overlap
            if site.statuses:
                return web.json_response({"error": "told to fail"}, status=site.statuses.pop(0))
            if site.answer is not None:
                return web.json_response(site.answer)
            body = await request.read()
            async with aiohttp.request("POST", f"{upstream}{request.path}", data=body) as response:
                return web.Response(body=await response.read(), status=response.status)
        finally:
            site.in_flight -= 1

    app = web.Application(client_max_size=contract.MAX_REQUEST_BYTES)
    add_page(app, site.describe)
    app.router.add_post("/{path:.*}", forward)
    return app


def running_site(site, upstream, loop):
    runner = web.AppRunner(site_app(site, upstream))

    async def start():
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    site.url = asyncio.run_coroutine_threadsafe(start(), loop).result()
    return runner


@pytest.fixture(scope="module")
def loop():
    with running_loop() as loop:
        yield loop


@pytest.fixture(scope="module")
def plain_site(loop):
    """The page alone; no prediction is asked of it."""
    site = Site()
    runner = running_site(site, "http://127.0.0.1:9", loop)
    yield site
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()


@pytest.fixture(scope="module")
def model_site(loop, server):
    site = Site()
    runner = running_site(site, server.rest, loop)
    yield site
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()


@pytest.fixture
def get(plain_site):
    plain_site.reset()

    def get(path):
        connection = http.client.HTTPConnection(urlsplit(plain_site.url).netloc, timeout=30)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    return get


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_the_root_leads_to_the_page(get, path):
    response, _ = get(path)
    assert (response.status, response.headers["Location"]) == (302, "ui/")


@pytest.mark.parametrize(
    ("path", "content_type", "part"),
    [
        ("/ui/", "text/html; charset=utf-8", b"<!doctype html>"),
        ("/ui/page.css", "text/css; charset=utf-8", b"prefers-color-scheme: dark"),
        ("/ui/page.js", "text/javascript; charset=utf-8", b"createObjectURL"),
        ("/ui/model.json", "application/json; charset=utf-8", b'"representation": "pixel"'),
    ],
)
def test_each_file_is_served_with_headers_that_forbid_everything_foreign(get, path, content_type, part):
    response, body = get(path)
    assert (response.status, response.headers["Content-Type"]) == (200, content_type)
    assert part in body
    policy = dict(rule.split(" ", 1) for rule in response.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"


def test_the_description_is_asked_for_anew_each_time_so_that_it_follows_the_version(get, plain_site):
    get("/ui/model.json")
    plain_site.description = {**describe_fixture(), "version": 4}
    assert json.loads(get("/ui/model.json")[1])["version"] == 4


def test_a_description_that_cannot_be_had_is_answered_with_the_errors_status(get, plain_site):
    plain_site.description = ModelNotFoundError("no version is served")
    response, body = get("/ui/model.json")
    assert (response.status, json.loads(body)) == (404, {"error": "no version is served"})


def test_a_version_is_described_by_its_operating_points(tmp_path):
    points = {**THRESHOLDS, "level": "instance", "input": {"size": 128, "representation": "dct"}}
    (tmp_path / "assets").mkdir()
    (tmp_path / contract.ASSET_OPERATING_POINTS).write_text(json.dumps(points))
    assert describe_version("faces", 7, tmp_path) == {
        "name": "faces",
        "version": 7,
        "operating_points": points,
        "limits": {"image_bytes": contract.MAX_IMAGE_BYTES, "image_pixels": contract.MAX_IMAGE_PIXELS},
    }


def test_a_version_without_operating_points_is_described_without_them(tmp_path):
    assert describe_version("faces", 7, tmp_path)["operating_points"] is None


# ---- In the browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_page(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def site(model_site):
    model_site.reset()
    return model_site


@pytest.fixture
def page(browser, site):
    """The page, freshly loaded; afterwards it must not have complained, nor asked any other server."""
    browser.events.clear()
    browser.open(f"{site.url}/")
    browser.wait_for("document.querySelector('#model').textContent.includes('version')")
    yield browser
    # What the server refused is logged by the browser, too; those are answers, not faults of the page.
    logged = [event["entry"] for event in browser.events_named("Log.entryAdded")]
    assert [entry for entry in logged if entry["level"] == "error" and "status of" not in entry["text"]] == []
    assert browser.events_named("Runtime.exceptionThrown") == []
    assert browser.events_named("Page.javascriptDialogOpening") == []
    asked = [event["request"]["url"] for event in browser.events_named("Network.requestWillBeSent")]
    assert asked
    assert [url for url in asked if not url.startswith((f"{site.url}/", f"blob:{site.url}/", "data:,"))] == []


@pytest.fixture
def choose(page, tmp_path):
    """Gives files, by name, to the page's input and returns its cards once all are done."""

    def choose(files):
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        page.set_files("#files", [tmp_path / name for name in files])
        return cards(page, len(files))

    return choose


def cards(page, count):
    """Waits for that many finished cards and returns what they say, in order."""
    page.wait_for(f"document.querySelectorAll('.card[data-state=done]').length === {count}")
    return page.evaluate(
        """[...document.querySelectorAll(".card")].map((card) => ({
            name: card.querySelector(".name").textContent,
            verdict: card.dataset.verdict ?? null,
            kind: card.dataset.kind,
            shape: card.querySelector(".shape use").getAttribute("href"),
            word: card.querySelector(".word").textContent,
            sentence: card.querySelector(".sentence").textContent,
            canRetry: !card.querySelector(".retry").hidden,
            outline: card.querySelector(".outline").hidden ? null
                : ["left", "top", "width", "height"].map((side) => card.querySelector(".outline").style[side]),
            numbers: [...card.querySelectorAll(".row")].map((row) => Number(row.querySelector(".number").textContent)),
            thresholds: [...card.querySelectorAll(".row")].map((row) => row.querySelector(".threshold").textContent),
            fills: [...card.querySelectorAll(".row")].map((row) => parseFloat(row.querySelector(".fill").style.width)),
            claims: [...card.querySelectorAll(".row.claims")].map((row) => row.dataset.name),
        }))"""
    )


def pixels(page, selector):
    """Returns a canvas as an array of shape (height, width, 4), uint8."""
    url = page.evaluate(f"document.querySelector({json.dumps(selector)}).toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as image:
        return np.asarray(image.convert("RGBA"))


def results(page):
    """Presses "download" and returns the lines of the file, without a dialogue."""
    text = page.evaluate(
        """new Promise((resolve) => {
            HTMLAnchorElement.prototype.click = () => {};
            const make = URL.createObjectURL;
            URL.createObjectURL = (blob) => { blob.text().then(resolve); return make(blob); };
            document.querySelector("#download").click();
        })"""
    )
    return [json.loads(line) for line in text.splitlines()]


def answer(**changes):
    """An answer of the server for one image, in the column format."""
    outputs = {
        "verdict": ["real"],
        "fake_probability": [0.1],
        "source_names": [[RED]],
        "source_probabilities": [[0.2]],
        "detection_heatmap": [[[1.0, 0.0], [0.0, -1.0]]],
        "source_heatmaps": [[[[0.0, 1.0], [0.0, 0.0]]]],
    }
    return {"outputs": outputs | changes}


@pytest.mark.e2e
@needs_chromium
class TestInChromium:
    def test_verdicts_are_those_of_the_servable_each_with_a_shape_of_its_own(self, choose, images, verdicts):
        said = choose({f"{number}.png": image for number, image in enumerate(images)})
        assert [card["verdict"] for card in said] == verdicts
        shapes = ["real", "contradiction", "source", "source", "unknown"]
        assert [card["kind"] for card in said] == shapes
        assert [card["shape"] for card in said] == [f"#shape-{shape}" for shape in shapes]
        assert [card["word"] for card in said] == [
            "Camera-made",
            "Contradiction",
            "Synthesised",
            "Synthesised",
            "Unknown generator",
        ]
        sentences = [card["sentence"] for card in said]
        assert "camera-made, yet progan_red claims it" in sentences[1]
        assert "claimed by progan_red" in sentences[2]
        assert "stylegan_green; also, less strongly, by progan_red" in sentences[3]
        assert "no head knows" in sentences[4]

    @pytest.mark.parametrize(
        ("probabilities", "said"),
        [
            ([[0.2]], "Detection cannot tell: its probability lies from 0.400 to 0.600. Look at it yourself."),
            ([[0.9]], f"{RED} claims it, which decides nothing here. Look at it yourself."),
        ],
    )
    def test_an_uncertain_image_is_shown_as_such_with_the_band_and_who_claims_it(
        self, page, choose, site, images, probabilities, said
    ):
        points = {**THRESHOLDS, "uncertain_band": [0.4, 0.6], "input": {"size": SIZE, "representation": "pixel"}}
        site.description = {**describe_fixture(), "operating_points": points}
        page.open(f"{site.url}/")
        site.answer = answer(verdict=["uncertain"], fake_probability=[0.5], source_probabilities=probabilities)
        (card,) = choose({"any.png": images[0]})
        assert (card["kind"], card["shape"], card["word"]) == ("uncertain", "#shape-uncertain", "Uncertain")
        assert said in card["sentence"]
        assert page.evaluate("document.querySelector('#summary').textContent") == "1 image: 1 uncertain"

    def test_probabilities_and_thresholds_are_those_of_rest(self, choose, images, server):
        said = choose({f"{number}.png": image for number, image in enumerate(images)})
        request = {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
        address = f"{server.rest}/v1/models/{contract.DEFAULT_MODEL_NAME}:predict"
        with urllib.request.urlopen(address, json.dumps(request).encode()) as response:
            rows = json.load(response)["predictions"]
        expected = [[row["fake_probability"], *row["source_probabilities"]] for row in rows]
        np.testing.assert_allclose([card["numbers"] for card in said], expected, atol=0.0005)
        np.testing.assert_allclose([card["fills"] for card in said], 100 * np.array(expected), atol=0.01)
        assert said[0]["thresholds"] == ["≥ 0.500"] * 3
        assert [card["claims"] for card in said] == [
            [],
            [RED],
            ["detection", RED, GREEN],
            ["detection", RED, GREEN],
            ["detection"],
        ]

    def test_detection_is_red_where_evidence_speaks_for_it_and_blue_where_against(self, page, choose, images):
        choose({"lilac.png": images[4]})
        heatmap = pixels(page, ".heatmap").astype(int)
        assert heatmap.shape == (SIZE, SIZE, 4)
        red, blue, none = heatmap[0, 0], heatmap[-1, -1], heatmap[0, -1]
        assert red[0] > red[2] and red[3] == 255
        assert blue[2] > blue[0] and blue[3] == 255
        assert none[3] == 0
        # The window lies below: the image's own pixels.
        assert (pixels(page, ".window") == [100, 110, 255, 255]).all()
        assert page.evaluate("document.querySelector('.low').textContent") == "against \u22120.61"

    def test_choosing_a_source_shows_its_heatmap(self, page, choose, images):
        choose({"lilac.png": images[4]})
        page.evaluate(f"document.querySelector('.row[data-name={RED}] input').click()")
        heatmap = pixels(page, ".heatmap")
        assert heatmap[0, -1, 3] == 255 and heatmap[0, 0, 3] == 0
        assert RED in page.evaluate("document.querySelector('.what').textContent")

    def test_an_attributed_image_shows_the_heatmap_of_its_source_first(self, page, choose, images):
        choose({"orange.png": images[2]})
        assert page.evaluate("document.querySelector('.row:has(:checked)').dataset.name") == RED
        assert pixels(page, ".heatmap")[0, -1, 3] == 255

    def test_a_heatmap_is_stretched_bilinearly(self, page, choose, site, images):
        site.answer = answer(detection_heatmap=[[[1.0, 0.5], [0.25, 0.0]]])
        choose({"any.png": images[0]})
        expected = np.asarray(
            Image.fromarray(np.array([[1.0, 0.5], [0.25, 0.0]], np.float32)).resize((SIZE, SIZE), Image.BILINEAR)
        )
        np.testing.assert_allclose(pixels(page, ".heatmap")[..., 3], 255 * expected, atol=1)

    def test_the_opacity_slider_fades_the_heatmap(self, page, choose, images):
        choose({"lilac.png": images[4]})
        page.evaluate(
            "(() => { const slider = document.querySelector('#opacity'); slider.value = 20;"
            "slider.dispatchEvent(new Event('input')); })()"
        )
        assert page.evaluate("getComputedStyle(document.querySelector('.heatmap')).opacity") == "0.2"

    def test_the_window_is_the_centre_of_the_image_rounded_down_and_outlined(self, page, choose):
        noise = np.random.default_rng(1).integers(0, 256, (21, 40, 3), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, "PNG")
        (card,) = choose({"wide.png": stream.getvalue()})
        np.testing.assert_array_equal(pixels(page, ".window")[..., :3], noise[2:18, 12:28])
        # Of a square that holds the image in its middle: 9.5 rows are empty above it.
        assert [float(side.rstrip("%")) for side in card["outline"]] == [30.0, 28.75, 40.0, 40.0]

    def test_a_turned_photograph_is_shown_upright_as_the_graph_sees_it(self, page, choose):
        stored = Image.fromarray(np.repeat(np.uint8([[[255, 0, 0]], [[0, 0, 255]]]), 16, axis=0).repeat(32, axis=1))
        exif, stream = Image.Exif(), io.BytesIO()
        exif[0x0112] = 3  # upside down
        stored.save(stream, "JPEG", exif=exif, quality=95)
        choose({"turned.jpg": stream.getvalue()})
        window = pixels(page, ".window").astype(int)
        assert window[0, 0, 2] > 200 and window[-1, 0, 0] > 200

    def test_a_model_of_spectra_shows_the_log_spectrum_of_the_windows_luma(self, page, choose, site):
        site.description = describe_fixture(representation="dct")
        noise = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noise).save(stream, "PNG")
        choose({"noise.png": stream.getvalue()})
        luma = np.asarray(Image.fromarray(noise).convert("L"), float)
        magnitude = np.log(np.abs(scipy.fft.dctn(luma, norm="ortho")) + 1)
        shown = pixels(page, ".window")[..., 0].astype(int)
        difference = np.abs(shown - 255 * magnitude / magnitude.max())
        # Luma may round to the other side in single pixels, which moves small coefficients.
        assert np.median(difference) < 1 and difference[0, 0] < 1

    def test_a_file_that_cannot_be_decoded_spoils_its_own_card_only(self, choose, images, undecodable):
        said = choose({"good.png": images[0], "bad.png": undecodable, "text.png": b"no image", "last.png": images[4]})
        assert [card["verdict"] for card in said] == ["real", None, None, "unknown_generator"]
        assert [card["kind"] for card in said] == ["real", "error", "error", "unknown"]
        assert said[2]["sentence"].startswith("is no JPEG")
        assert not said[2]["canRetry"]

    def test_the_servers_reason_is_shown(self, choose, make_image):
        (card,) = choose({"small.png": make_image((9, 9, 9), (3, 8))})
        assert (card["word"], card["sentence"]) == ("Not judged", "image is too small")

    def test_what_is_above_the_limits_is_refused_before_it_is_sent(self, page, choose, make_image):
        said = choose({"heavy.png": b"\x89PNG" + bytes(30_000), "wide.png": make_image((0, 0, 0), (1001, 1000))})
        assert said[0]["sentence"] == "The file holds 30,004 bytes, above the limit of 30,000."
        assert said[1]["sentence"] == "The image has 1,001 \u00d7 1,000 pixels, above the limit of 1,000,000."
        methods = [event["request"]["method"] for event in page.events_named("Network.requestWillBeSent")]
        assert "POST" not in methods

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_server_is_asked_again_after_a_visible_wait(self, page, choose, site, images, status):
        site.statuses[:] = [status]
        page.evaluate(
            """window.said = [], new MutationObserver(() => said.push(document.querySelector(".sentence")?.textContent))
            .observe(document.querySelector("#cards"), { subtree: true, childList: true, characterData: true }), 0"""
        )
        (card,) = choose({"lilac.png": images[4]})
        assert card["verdict"] == "unknown_generator"
        assert "The server is busy; waiting to ask again …" in page.evaluate("window.said")

    def test_a_server_that_fails_can_be_asked_again(self, page, choose, site, images):
        site.statuses[:] = [500]
        (card,) = choose({"lilac.png": images[4]})
        assert (card["sentence"], card["canRetry"]) == ("told to fail", True)
        page.evaluate("document.querySelector('.retry').click()")
        page.wait_for("document.querySelector('.card').dataset.verdict")
        assert cards(page, 1)[0]["word"] == "Unknown generator"

    def test_an_answer_that_is_not_the_contracts_is_an_error_on_the_card(self, choose, site, images):
        site.answer = {"outputs": {"scores": [1]}}
        (card,) = choose({"lilac.png": images[4]})
        assert card["kind"] == "error"
        assert "contract" in card["sentence"]

    def test_at_most_two_images_are_asked_for_at_the_same_time(self, choose, site, images):
        choose({f"{number}.png": images[number % 5] for number in range(9)})
        assert site.most_in_flight == 2

    def test_names_of_files_and_sources_are_shown_as_text(self, page, choose, site, images):
        site.description = {**describe_fixture(), "name": HOSTILE}
        site.answer = answer(source_names=[[HOSTILE]], verdict=[HOSTILE])
        (card,) = choose({"<img src=x onerror=alert(1)>.png": images[0]})
        assert card["name"] == HOSTILE
        assert card["sentence"] == f"Synthesised; claimed by {HOSTILE}."
        assert HOSTILE in page.evaluate("document.querySelector('#summary').textContent")
        assert page.evaluate("document.querySelectorAll('img').length") == 1

    def test_dropped_and_pasted_images_are_taken(self, page, images):
        for kind, event, key in (("drop", "DragEvent", "dataTransfer"), ("paste", "ClipboardEvent", "clipboardData")):
            page.evaluate(
                f"""(() => {{
                    const bytes = Uint8Array.from(atob("{base64.b64encode(images[2]).decode()}"), (c) =>
                        c.charCodeAt());
                    const transfer = new DataTransfer();
                    transfer.items.add(new File([bytes], "{kind}.png", {{ type: "image/png" }}));
                    document.body.dispatchEvent(
                        new {event}("{kind}", {{ {key}: transfer, bubbles: true, cancelable: true }}));
                }})()"""
            )
        assert [(card["name"], card["verdict"]) for card in cards(page, 2)] == [("drop.png", RED), ("paste.png", RED)]

    def test_results_are_downloaded_as_predict_writes_them(self, page, choose, images):
        choose({"orange.png": images[2], "text.png": b"no image"})
        orange, text = results(page)
        assert list(orange) == ["path", "verdict", "fake_probability", "source_probabilities"]
        assert (orange["path"], orange["verdict"]) == ("orange.png", RED)
        assert orange["source_probabilities"] == {RED: 1.0, GREEN: pytest.approx(200 / 255, abs=1e-5)}
        assert text.pop("error").startswith("is no JPEG")
        expected = {"path": "text.png", "verdict": None, "fake_probability": None, "source_probabilities": {}}
        assert text == expected

    def test_the_summary_counts_and_clearing_empties_the_page(self, page, choose, images):
        choose({**{f"{n}.png": image for n, image in enumerate(images)}, "text.png": b"no image"})
        assert page.evaluate("document.querySelector('#summary').textContent") == (
            "6 images: 1 camera-made, 1 contradiction, 1 progan_red, 1 stylegan_green, 1 unknown generator, "
            "1 not judged"
        )
        page.evaluate("document.querySelector('#clear').click()")
        assert page.evaluate("document.querySelectorAll('.card').length") == 0
        assert page.evaluate("document.querySelector('#results').hidden")

    def test_a_servable_without_operating_points_has_no_thresholds_and_its_map_lies_over_the_whole_image(
        self, page, choose, site, make_image
    ):
        site.description = {**describe_fixture(), "operating_points": None}
        (card,) = choose({"orange.png": make_image((255, 200, 0), (40, 20))})
        assert (card["verdict"], card["thresholds"], card["outline"]) == (RED, ["", "", ""], None)
        assert pixels(page, ".heatmap").shape == (20, 40, 4)

    def test_a_phone_scrolls_in_one_direction_only(self, page, choose, site, images):
        page.open(f"{site.url}/ui/", width=360, height=740)
        site.answer = answer(source_names=[["progan_" + "x" * 60]], verdict=["progan_" + "x" * 60])
        choose({"y" * 80 + ".png": images[0]})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360

    def test_every_control_has_a_name(self, page, choose, images):
        choose({"lilac.png": images[4]})
        page.call("Accessibility.enable")
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        roles = {"button", "radio", "slider", "meter", "image", "img"}
        named = {node["role"]["value"] for node in nodes if node["role"]["value"] in roles and node["name"]["value"]}
        unnamed = [
            node
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in roles and not node["name"].get("value")
        ]
        assert unnamed == []
        assert {"button", "radio", "slider", "meter"} <= named
