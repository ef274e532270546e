"""The four clients ask for versions and labels of a real server with a models.config."""

import shutil

import pytest

from serving.client import ServerError
from serving.server.configuration.options import ServerOptions
from tests.support.clients import KINDS, opened_client
from tests.support.servers import running_server
from tests.support.small_servable import VERSION

OLD, NEW = 1, 2
MODELS = """model_config_list {{
  config {{
    name: "colours" base_path: "{base}" model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: 1 versions: 2 }} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


@pytest.fixture(scope="module")
def labelled(model_base, tmp_path_factory):
    """Serves two versions under labels; a third lies there and is not wanted."""
    base = tmp_path_factory.mktemp("labelled") / "colours"
    for number in (OLD, NEW, 3):
        shutil.copytree(model_base / str(VERSION), base / str(number))
    config = base.parent / "models.config"
    config.write_text(MODELS.format(base=base), encoding="utf-8")
    with running_server(ServerOptions(model_config_file=config, grpc_port=0, rest_port=0)) as addresses:
        yield addresses


@pytest.fixture(params=KINDS)
def opening(request, labelled):
    def opened(**options):
        options = {"model_name": "colours"} | options
        return opened_client(request.param, labelled.grpc, labelled.rest, **options)

    return opened


@pytest.mark.parametrize(
    ("asked", "versions"),
    [
        ({}, {OLD, NEW}),
        ({"version": OLD}, {OLD}),
        ({"version": NEW}, {NEW}),
        ({"label": "stable"}, {OLD}),
        ({"label": "canary"}, {NEW}),
    ],
    ids=str,
)
def test_a_version_or_label_that_is_served_is_answered(opening, images, verdicts, asked, versions):
    with opening(**asked) as client:
        assert {number for number, state in client.versions() if state == "AVAILABLE"} == versions
        assert client.is_ready()
        assert [answer.verdict for answer in client.predict(images)] == verdicts


@pytest.mark.parametrize("asked", [{"version": 3}, {"version": 99}, {"model_name": "other"}], ids=str)
def test_what_is_not_served_is_not_found_and_not_ready(opening, images, asked):
    with opening(**asked) as client:
        assert not client.is_ready()
        with pytest.raises(ServerError) as caught:
            client.predict(images)
        assert caught.value.code == "NOT_FOUND"


def test_a_label_that_nobody_gave_is_refused_by_its_name(opening, images):
    with opening(label="next") as client:
        assert not client.is_ready()
        for asking in (lambda: client.predict(images), client.versions):
            with pytest.raises(ServerError, match="next"):
                asking()


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_server_is_nothing_is_ready(kind):
    with opened_client(kind, grpc="127.0.0.1:9", rest="http://127.0.0.1:9") as client:
        assert not client.is_ready()
