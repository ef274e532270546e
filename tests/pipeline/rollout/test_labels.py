"""Labels in models.config: what a move leaves in the file, what is refused, and what a kill or a rival cannot break."""

import argparse
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from pipeline.cli.rollout import add_promote, add_retain, add_rollback
from pipeline.rollout.edit import Place
from pipeline.rollout.labels import promote, roll_back
from pipeline.rollout.models_file import ModelsFileError, locked

ROOT = Path(__file__).resolve().parents[3]
MODEL = "generator_attribution"
LATEST = "latest { num_versions: 1 }"

OTHER_MODEL = """
  config {
    name: "other"
    base_path: "/elsewhere/other"
    model_platform: "tensorflow"
    model_version_policy { all {} }
    logging_config {
      log_collector_config { type: "file" filename_prefix: "/logs/ä" }
      sampling_config { sampling_rate: 0.5 }
    }
  }"""


@pytest.fixture
def serving(tmp_path):
    """Versions 1, 2, 3 and 10; 7 is not complete; models.config as it is seeded, with a second model."""
    folder = tmp_path / "serving"
    for version in (1, 2, 3, 10):
        (folder / MODEL / str(version)).mkdir(parents=True)
        (folder / MODEL / str(version) / "saved_model.pb").touch()
    (folder / MODEL / "7" / "variables").mkdir(parents=True)
    seed(folder)
    return folder


def seed(folder, policy=LATEST, labels=""):
    text = f"""# The seed file.
model_config_list {{
  config {{
    name: "{MODEL}"
    base_path: "/models/{MODEL}"
    model_platform: "tensorflow"
    model_version_policy {{ {policy} }}
    {labels}
  }}{OTHER_MODEL}
}}
"""
    (folder / "models.config").write_text(text, encoding="utf-8")


def models(folder):
    text = (folder / "models.config").read_text(encoding="utf-8")
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


def state(folder):
    """The listed versions and the labels of our model."""
    model = models(folder)[0]
    return list(model.model_version_policy.specific.versions), dict(model.version_labels)


def go(folder, *moves):
    """Promotes, a version and a label each."""
    for version, label in moves:
        promote(Place(folder), str(version), label)


def refusal(command, *arguments, **named):
    with pytest.raises((ModelsFileError, ValueError)) as refused:
        command(*arguments, **named)
    return str(refused.value)


# What a promote leaves


def test_the_first_promote_pins_a_version(serving):
    done = promote(Place(serving), "newest")
    assert state(serving) == ([10], {"stable": 10})
    assert (done.before, done.after, done.edits, done.no_longer_served) == (None, 10, 1, ())


def test_the_version_before_stays_loaded_and_the_one_before_that_goes(serving):
    go(serving, (1, "stable"), (2, "stable"))
    done = promote(Place(serving), "3")
    assert state(serving) == ([2, 3], {"stable": 3})
    assert (done.before, done.after, done.no_longer_served) == (2, 3, (1,))


def test_a_canary_stands_beside_both(serving):
    go(serving, (1, "stable"), (2, "stable"), ("newest", "canary"))
    assert state(serving) == ([1, 2, 10], {"stable": 2, "canary": 10})


def test_a_canary_becomes_stable_by_its_label_and_whoever_asks_for_canary_is_still_answered(serving):
    go(serving, (2, "stable"), (10, "canary"), ("canary", "stable"))
    assert state(serving) == ([2, 10], {"stable": 10, "canary": 10})


def test_a_newer_version_that_was_stable_does_not_stay_to_take_the_requests_without_a_label(serving):
    go(serving, (3, "stable"), (2, "stable"))
    assert state(serving) == ([2], {"stable": 2})


def test_a_canary_that_takes_the_requests_without_a_label_is_said_to(serving):
    go(serving, (2, "stable"))
    notes = " ".join(promote(Place(serving), "10", "canary").notes)
    assert "without a label go to version 10 (canary)" in notes
    assert "version 2 must ask for label stable" in notes
    assert "without a label" not in " ".join(promote(Place(serving), "1", "canary").notes)


def test_what_has_to_be_loaded_first_is_said(serving):
    assert "version 2 has to be loaded" in " ".join(promote(Place(serving), "2").notes)
    assert "nothing has to be loaded" in " ".join(promote(Place(serving), "2", "canary").notes)
    go(serving, (3, "stable"), (10, "stable"))
    assert "nothing has to be loaded" in " ".join(roll_back(Place(serving)).notes)


@pytest.mark.parametrize("repeated", [(2, "stable"), (10, "canary")])
def test_the_same_command_again_changes_neither_file_nor_history(serving, repeated):
    go(serving, (1, "stable"), (2, "stable"), (10, "canary"))
    before = {path.name: (path.read_bytes(), path.stat().st_ino) for path in serving.glob("models.*")}
    assert promote(Place(serving), str(repeated[0]), repeated[1]).edits == 0
    assert {path.name: (path.read_bytes(), path.stat().st_ino) for path in serving.glob("models.*")} == before
    roll_back(Place(serving))
    assert state(serving)[1]["stable"] == 1


def test_other_models_and_fields_stay_as_they_were(serving):
    other = models(serving)[1]
    go(serving, (1, "stable"), (2, "stable"), (10, "canary"))
    roll_back(Place(serving))
    assert models(serving)[1] == other
    assert models(serving)[0].base_path == f"/models/{MODEL}"


def test_the_file_says_in_a_comment_who_wrote_it_and_reads_line_by_line(serving):
    go(serving, (1, "stable"))
    lines = (serving / "models.config").read_text(encoding="utf-8").splitlines()
    assert re.match(r"# Written by `genattr promote` at \d{4}-\d\d-\d\dT", lines[0])
    assert "comments of the seed file are gone" in lines[0]
    assert 'filename_prefix: "/logs/ä"' in (line.strip() for line in lines)


def test_permissions_stay_since_servers_read_the_file_as_another_user(serving):
    (serving / "models.config").chmod(0o664)
    go(serving, (1, "stable"))
    for name in ("models.config", "models.history.json"):
        assert stat.S_IMODE((serving / name).stat().st_mode) == 0o664, name


def test_a_link_to_the_file_stays_a_link(serving, tmp_path):
    (serving / "models.config").rename(tmp_path / "shared.config")
    (serving / "models.config").symlink_to(tmp_path / "shared.config")
    go(serving, (1, "stable"))
    assert (serving / "models.config").is_symlink()
    assert state(serving)[1] == {"stable": 1}


def test_a_file_elsewhere_is_edited_there(serving, tmp_path):
    (tmp_path / "config").mkdir()
    (serving / "models.config").rename(tmp_path / "config" / "served.config")
    promote(Place(serving, tmp_path / "config" / "served.config"), "2")
    assert sorted(path.name for path in (tmp_path / "config").iterdir() if not path.name.startswith(".")) == [
        "served.config",
        "served.history.json",
    ]


def test_what_was_listed_by_hand_counts_as_what_was_before(serving):
    seed(serving, "specific { versions: 1 versions: 2 }", 'version_labels { key: "stable" value: 1 }')
    go(serving, (3, "stable"))
    assert state(serving) == ([1, 3], {"stable": 3})


def test_what_is_listed_beyond_need_goes_even_if_the_label_is_right_already(serving):
    seed(serving, "specific { versions: 1 versions: 2 }", 'version_labels { key: "stable" value: 1 }')
    assert promote(Place(serving), "1").no_longer_served == (2,)
    assert state(serving) == ([1], {"stable": 1})


# Rollback


def test_a_rollback_moves_the_label_back_and_takes_the_version_away(serving):
    go(serving, (1, "stable"), (2, "stable"))
    done = roll_back(Place(serving))
    assert state(serving) == ([1], {"stable": 1})
    assert (done.before, done.after, done.no_longer_served) == (2, 1, (2,))


def test_a_second_rollback_goes_one_further_and_a_third_is_refused(serving):
    go(serving, (1, "stable"), (3, "stable"), (10, "stable"))
    roll_back(Place(serving))
    assert state(serving) == ([3], {"stable": 3})
    assert "version 1 has to be loaded" in " ".join(roll_back(Place(serving)).notes)
    assert state(serving) == ([1], {"stable": 1})
    assert "nothing is known that label stable named before version 1" in refusal(roll_back, Place(serving))


def test_after_a_rollback_the_next_promote_starts_from_there(serving):
    go(serving, (1, "stable"), (2, "stable"))
    roll_back(Place(serving))
    go(serving, (3, "stable"))
    assert state(serving) == ([1, 3], {"stable": 3})
    roll_back(Place(serving))
    assert state(serving)[1] == {"stable": 1}


def test_a_rollback_to_a_newer_version_loads_it_again(serving):
    go(serving, (3, "stable"), (2, "stable"))
    roll_back(Place(serving))
    assert state(serving) == ([3], {"stable": 3})


def test_without_a_history_the_next_lower_listed_version_is_taken(serving):
    go(serving, (1, "stable"), (2, "stable"), (10, "canary"))
    (serving / "models.history.json").unlink()
    roll_back(Place(serving))
    assert state(serving) == ([1, 10], {"stable": 1, "canary": 10})


def test_moves_made_by_hand_are_respected(serving):
    go(serving, (1, "stable"), (2, "stable"))
    seed(serving, "specific { versions: 3 versions: 10 }", 'version_labels { key: "stable" value: 10 }')
    roll_back(Place(serving))
    assert state(serving)[1] == {"stable": 3}


def test_from_the_first_promote_the_way_back_leads_to_what_was_listed_without_a_label(serving):
    seed(serving, "specific { versions: 1 }")
    go(serving, (3, "stable"))
    roll_back(Place(serving))
    assert state(serving) == ([1], {"stable": 1})


def test_moves_after_the_one_that_is_taken_back_are_forgotten(serving):
    go(serving, (1, "stable"), (2, "stable"), (3, "stable"))
    seed(serving, "specific { versions: 2 }", 'version_labels { key: "stable" value: 2 }')
    roll_back(Place(serving))
    moves = json.loads((serving / "models.history.json").read_text())[MODEL]["stable"]
    assert [(move["before"], move["after"]) for move in moves] == [(None, 1)]


def test_the_only_label_is_not_removed(serving):
    go(serving, (1, "stable"), (2, "canary"))
    seed(serving, "specific { versions: 2 }", 'version_labels { key: "canary" value: 2 }')
    assert "nothing is known that label canary named" in refusal(roll_back, Place(serving), "canary")
    assert state(serving) == ([2], {"canary": 2})


def test_a_canary_that_was_new_is_removed_and_one_that_was_not_goes_back(serving):
    go(serving, (1, "stable"), (2, "canary"), (3, "canary"))
    roll_back(Place(serving), "canary")
    assert state(serving) == ([1, 2], {"stable": 1, "canary": 2})
    done = roll_back(Place(serving), "canary")
    assert state(serving) == ([1], {"stable": 1})
    assert done.after is None
    assert "label canary is gone" in " ".join(done.notes)


def test_a_canary_that_stays_after_a_rollback_is_pointed_out(serving):
    go(serving, (1, "stable"), (2, "canary"), ("canary", "stable"))
    done = roll_back(Place(serving))
    assert state(serving) == ([1, 2], {"stable": 1, "canary": 2})
    assert "roll back label canary" in " ".join(done.notes)


def test_a_rollback_to_a_version_that_is_gone_is_refused_and_changes_nothing(serving):
    go(serving, (1, "stable"), (2, "stable"))
    (serving / MODEL / "1" / "saved_model.pb").unlink()
    before = (serving / "models.config").read_bytes()
    assert "1: holds no saved_model.pb" in refusal(roll_back, Place(serving))
    assert (serving / "models.config").read_bytes() == before


# Refusals


@pytest.mark.parametrize(
    ("version", "label", "reasons"),
    [
        ("5", "stable", ["5: is missing", "1, 2, 3, 10"]),
        ("7", "stable", ["7: holds no saved_model.pb", "not complete"]),
        ("canary", "stable", ["VERSION", "newest", "'canary'"]),
        ("-1", "stable", ["VERSION", "'-1'"]),
        ("1", "", ["label: ", "''"]),
        ("1", "a/b", ["label: ", "'a/b'"]),
        ("1", "newest", ["label: ", "newest"]),
        ("1", "12", ["label: ", "letter"]),
        ("1", "canary", ["label stable names no version yet", "genattr promote"]),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_nothing_is_written(serving, version, label, reasons):
    before = (serving / "models.config").read_bytes()
    said = refusal(promote, Place(serving), version, label)
    for reason in reasons:
        assert reason in said
    assert (serving / "models.config").read_bytes() == before
    assert not (serving / "models.history.json").exists()


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("model_config_list {\n  config {\n    nam: 3\n", ["line 3:", "nam"]),
        ("model_config_list {", ["models.config"]),
        ("", ["at least one model"]),
        ('model_config_list { config { name: "x" base_path: "/m/x" } }', [f"model {MODEL} is not listed", "x"]),
        (f'model_config_list {{ config {{ name: "{MODEL}" base_path: "/m/x" }} }}', ["/m/x", "no folder of versions"]),
    ],
)
def test_a_file_that_does_not_allow_it_is_refused_by_name_and_stays(serving, text, reasons):
    (serving / "models.config").write_text(text)
    said = refusal(promote, Place(serving), "1")
    for reason in (str(serving / "models.config"), *reasons):
        assert reason in said
    assert (serving / "models.config").read_text() == text


def test_a_missing_file_and_a_missing_folder_are_refused_with_what_to_give_instead(serving, tmp_path):
    assert f"but {serving} does" in refusal(promote, Place(serving / MODEL), "1")
    (serving / "models.config").unlink()
    assert "models.config: is missing" in refusal(promote, Place(serving), "1")
    assert "is no folder. Give the one that holds models.config as `serving`." in refusal(
        promote, Place(tmp_path / "nowhere"), "1"
    )


def test_a_label_without_a_version_cannot_be_rolled_back(serving):
    go(serving, (1, "stable"))
    assert "label canary names no version" in refusal(roll_back, Place(serving), "canary")


def test_a_damaged_history_is_refused_with_the_way_out(serving):
    go(serving, (1, "stable"), (2, "stable"))
    (serving / "models.history.json").write_text('{"generator_attribution": [1')
    assert "models.history.json: holds no history" in refusal(roll_back, Place(serving))
    (serving / "models.history.json").unlink()
    roll_back(Place(serving))
    assert state(serving)[1] == {"stable": 1}


# Rivals and kills


def child(code, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], env=environment, stderr=subprocess.PIPE)


PROMOTING = """
import sys
from pathlib import Path
from pipeline.rollout.labels import promote
from pipeline.rollout.edit import Place
place, label, versions = Place(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
for version in versions * 20:
    promote(place, version, label)
"""


def test_edits_of_two_processes_come_one_after_the_other_and_none_is_lost(serving):
    go(serving, (1, "stable"))
    rivals = [child(PROMOTING, serving, "left", 2, 3), child(PROMOTING, serving, "right", 3, 10)]
    for rival in rivals:
        assert rival.wait(timeout=120) == 0, rival.stderr.read()
        rival.stderr.close()
    assert state(serving) == ([1, 3, 10], {"stable": 1, "left": 3, "right": 10})
    moves = json.loads((serving / "models.history.json").read_text())[MODEL]
    assert moves["left"][-1]["after"] == 3 and moves["right"][-1]["after"] == 10


def test_an_edit_that_takes_long_keeps_others_away_with_a_reason(serving):
    with locked(serving / "models.config"):
        said = refusal(promote, Place(serving), "1", patience=0.1)
    assert "another command has been editing it" in said
    go(serving, (1, "stable"))


KILLED_AT = """
import os, pathlib, signal, sys
from pipeline.rollout.labels import promote
from pipeline.rollout.edit import Place
moment, number = sys.argv[2], int(sys.argv[3])
def die(*arguments): os.kill(os.getpid(), signal.SIGKILL)
real_fsync, real_replace, calls = os.fsync, pathlib.Path.replace, []
def fsync(descriptor):
    calls.append(1)
    if moment == "fsync" and len(calls) == number: die()
    real_fsync(descriptor)
def replace(self, target):
    if moment == "before" and target.name == "models.config": die()
    result = real_replace(self, target)
    if moment == "after" and target.name == "models.config": die()
    return result
os.fsync, pathlib.Path.replace = fsync, replace
promote(Place(pathlib.Path(sys.argv[1])), "2")
"""


@pytest.mark.parametrize(
    ("moment", "number", "stable"),
    [("fsync", 1, 1), ("fsync", 2, 1), ("fsync", 3, 1), ("before", 0, 1), ("after", 0, 2), ("fsync", 4, 2)],
)
def test_a_kill_leaves_the_old_file_or_the_new_one_and_both_go_on_from_there(serving, moment, number, stable):
    """The history is written first: file, folder; then models.config: file, folder."""
    go(serving, (1, "stable"))
    old = (serving / "models.config").read_bytes()
    killed = child(KILLED_AT, serving, moment, number)
    assert killed.wait(timeout=60) == -signal.SIGKILL, killed.stderr.read()
    killed.stderr.close()
    assert state(serving)[1] == {"stable": stable}
    assert ((serving / "models.config").read_bytes() == old) is (stable == 1)
    go(serving, (3, "stable"))
    roll_back(Place(serving))
    assert state(serving)[1] == {"stable": stable}
    assert not list(serving.glob(".partial*"))


def test_kills_at_any_moment_leave_a_whole_file(serving):
    go(serving, (1, "stable"))
    for number in range(3):
        victim = child("import sys\n" + PROMOTING.replace("* 20", "* 100000"), serving, "canary", 2, 3)
        last = time.monotonic() + 30
        while "canary" not in state(serving)[1] and time.monotonic() < last:
            time.sleep(0.01)
        time.sleep(0.05 + 0.013 * number)
        victim.kill()
        victim.wait()
        victim.stderr.close()
        listed, labels = state(serving)
        assert labels["stable"] == 1 and labels["canary"] in (2, 3)
        assert set(listed) == set(labels.values())
        roll_back(Place(serving), "canary")
        go(serving, (1, "canary"))
        roll_back(Place(serving), "canary")
        seed(serving, "specific { versions: 1 }", 'version_labels { key: "stable" value: 1 }')


# What is fast


def test_no_tensorflow_is_needed():
    code = "import sys, pipeline.rollout, pipeline.rollout.retention; sys.exit('tensorflow' in sys.modules)"
    done = child(code)
    assert done.wait(timeout=60) == 0
    done.stderr.close()


# The words of the command line


def parsed(*words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command")
    for add in (add_promote, add_rollback, add_retain):
        add(commands)
    return parser.parse_args([str(word) for word in words])


def test_without_further_words_the_label_is_stable_and_the_file_lies_in_the_folder():
    for words in (("promote", "runs/serving", "newest"), ("rollback", "runs/serving")):
        options = parsed(*words)
        assert (options.serving, options.label, options.addresses) == (Path("runs/serving"), "stable", [])
        assert (options.models_config, options.model_name) == (None, MODEL)


def test_every_replica_can_be_waited_for():
    options = parsed("promote", "s", 3, "--wait", "http://a:8501", "--wait", "http://b:8501", "--wait-seconds", 9)
    assert (options.version, options.addresses, options.seconds) == ("3", ["http://a:8501", "http://b:8501"], 9.0)


def test_retain_must_be_told_how_many_to_keep(capsys):
    assert parsed("retain", "versions", "--keep", 3).min_age_hours == 24.0
    with pytest.raises(SystemExit):
        parsed("retain", "versions")
    assert "--keep" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_help_says_who_gets_a_canary_without_asking_for_it(command, capsys):
    with pytest.raises(SystemExit):
        parsed(command, "--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "without label or version goes to the newest version that is listed" in told
