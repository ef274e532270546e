"""Options of a client, and what they refuse."""

import pytest

from serving.client import ClientOptions
from tests.support.certificates import Authority

SECONDS = ("deadline", "connect_deadline", "first_backoff", "max_backoff")


@pytest.mark.parametrize(
    "values",
    [
        *({name: value} for name in SECONDS for value in (0, -1.0, float("inf"), float("nan"))),
        {"max_backoff": 0.05},
        *({"backoff_factor": value} for value in (0.9, float("inf"), float("nan"))),
        *({"jitter": value} for value in (-0.1, 1.1, float("nan"))),
        *({"batch_size": value} for value in (0, -1, 257)),
        *({"concurrency": value} for value in (0, -1)),
        *({"model_name": value} for value in ("", "a/b", "a:b")),
        *({"version": value} for value in (-1, 2**63)),
        *({"label": value} for value in ("", "a/b", "a:b")),
    ],
    ids=str,
)
def test_an_impossible_value_is_refused_by_its_name(values):
    (name,) = values
    with pytest.raises(ValueError, match=rf"^{name}: must be .*got"):
        ClientOptions(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"version": 0},
        {"version": 2**63 - 1},
        {"jitter": 0},
        {"jitter": 1},
        {"backoff_factor": 1},
        {"batch_size": 1},
        {"batch_size": 256},
        {"concurrency": 1},
        {"first_backoff": 5.0},
    ],
    ids=str,
)
def test_the_limits_themselves_are_allowed(values):
    assert ClientOptions(**values)


def test_a_version_and_a_label_together_are_refused():
    with pytest.raises(ValueError, match=r"^label: cannot be given together with a version, got 'stable' and 3"):
        ClientOptions(version=3, label="stable")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.mark.parametrize("given", ["tls_certificate", "tls_key"])
def test_a_certificate_without_its_key_and_the_reverse_are_refused_by_name(authority, given):
    lacking = {"tls_certificate": "tls_key", "tls_key": "tls_certificate"}[given]
    with pytest.raises(ValueError, match=f"^{lacking}: is missing; {given} was given"):
        ClientOptions(**{given: authority.certificate})


def test_a_file_that_is_not_there_is_refused_by_name(authority, tmp_path):
    certificate, key = authority.issue("client")
    given = {"tls_ca": authority.certificate, "tls_certificate": certificate, "tls_key": key}
    for name in given:
        with pytest.raises(ValueError, match=rf"^{name}: .*absent\.pem: is no file"):
            ClientOptions(**given | {name: tmp_path / "absent.pem"})


def test_files_that_hold_no_certificates_are_refused_before_anything_is_asked(authority, tmp_path):
    certificate, key = authority.issue("client")
    _, other_key = authority.issue("other")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    with pytest.raises(ValueError, match=r"^tls_ca: .*rubbish\.pem: is no PEM file"):
        ClientOptions(tls_ca=rubbish)
    for wrong in ((rubbish, key), (certificate, rubbish), (certificate, other_key)):
        with pytest.raises(ValueError, match=r"^tls_certificate: .* and tls_key: .* are no PEM files"):
            ClientOptions(tls_certificate=wrong[0], tls_key=wrong[1])


def test_any_tls_file_asks_for_tls(authority):
    certificate, key = authority.issue("client")
    assert not ClientOptions().uses_tls
    assert ClientOptions(tls=True).uses_tls
    assert ClientOptions(tls_ca=authority.certificate).uses_tls
    assert ClientOptions(tls_certificate=certificate, tls_key=key).uses_tls
