"""What is kept out of logs even where everything is logged."""

import subprocess
import sys

from tests.support.repository import REPOSITORY

_LOGS = """
from absl import logging
from pipeline.startup import quiet_libraries
quiet_libraries(verbose=True)
for what in ("deployment", "connection"):
    logging.info("Using %s config:\\n %s" % (what, "not-in-any-log"))
    logging.info(f"Using {what} config:\\n %s", "not-in-any-log")
logging.info("Component %s is running.", "Transform")
"""


def test_the_metadata_stores_password_is_not_logged_by_tfx_runners():
    done = subprocess.run([sys.executable, "-c", _LOGS], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "Component Transform is running." in done.stderr
    assert "not-in-any-log" not in done.stderr + done.stdout
