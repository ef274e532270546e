"""Set-up: which machines it serves, and what it says to the others."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Puts commands of the test's own before those of the machine: pretend("uname", "echo Darwin")."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def command(name: str, body: str) -> None:
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    return command


def check() -> "subprocess.CompletedProcess[str]":
    return subprocess.run([ROOT / "bootstrap", "--check"], capture_output=True, text=True, check=False)


def test_a_new_enough_machine_is_served_natively(pretend):
    pretend("getconf", "echo glibc 2.39")
    pretend("python3.13", "exit 0")
    completed = check()
    assert completed.returncode == 0
    assert "native environment" in completed.stderr
    assert "python3.13" in completed.stderr


def test_another_system_is_refused_with_the_container_as_the_way_out(pretend):
    pretend("uname", "echo Darwin")
    completed = check()
    assert completed.returncode == 1
    assert "it runs Darwin" in completed.stderr
    assert "docker build" in completed.stderr


def test_an_old_c_library_on_another_architecture_is_refused_by_name(pretend):
    pretend("getconf", "echo glibc 2.31")
    pretend("uname", 'if [ "$1" = -m ]; then echo aarch64; else echo Linux; fi')
    completed = check()
    assert completed.returncode == 1
    assert "glibc 2.31" in completed.stderr
    assert "aarch64" in completed.stderr


def test_a_c_library_that_is_not_glibc_is_refused(pretend):
    pretend("getconf", "exit 1")
    completed = check()
    assert completed.returncode == 1
    assert "not glibc" in completed.stderr


def test_an_old_c_library_without_a_python_still_gets_the_private_one(pretend):
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        pytest.skip("the private Python is unpacked with Debian's keyring, which this machine lacks")
    pretend("getconf", "echo glibc 2.36")
    completed = check()
    assert completed.returncode == 0, completed.stderr
    assert "private environment" in completed.stderr
