"""A fixed seed gives the same weights: in any order of the dataset's files, and in fresh processes.

Bit-equality over fresh processes is also what `test_checkpoints.py` compares a killed training by.
"""

import hashlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from components.features.parameters import InputParameters
from components.training.determinism import deterministic_operations
from components.training.examples import read_split
from components.training.middle_features import extract_middle_features
from components.training.modules import train_head, train_primary
from components.training.parameters import TrainingParameters
from components.training.training import Training
from tests.support.images import STRIPES, write_examples
from tests.support.training_jobs import run_code
from tests.support.transforms import FixedTransform

INPUTS = InputParameters(representation="dct", size=32)
TRAINING = TrainingParameters(epochs=2, batch_size=16, learning_rate=3e-3, seed=4)


@pytest.fixture(scope="module")
def reordered(splits, tmp_path_factory):
    """The same examples in another order, as TFX writes them anew in each run."""
    folder = tmp_path_factory.mktemp("reordered")
    found = {}
    for name, split in splits.items():
        records = list(tf.data.TFRecordDataset(split.files, "GZIP").as_numpy_iterator())
        path = folder / name / "examples-0.tfrecord.gz"
        write_examples(path, [])
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for number in np.random.default_rng(1).permutation(len(records)):
                writer.write(records[number])
        found[name] = read_split(name, [str(path)])
    return found


def weights_of(splits, budget_mb):
    """Weights of a primary module and a head."""
    training = Training(splits, INPUTS, TRAINING.model_copy(update={"memory_budget_mb": budget_mb}))
    primary = train_primary(training, FixedTransform()).model
    features = extract_middle_features(primary, training, FixedTransform())
    return [*primary.get_weights(), *train_head(training, STRIPES, features).model.get_weights()]


@pytest.mark.parametrize("budget_mb", [64, 0], ids=["in memory", "from disk"])
def test_the_order_of_the_datasets_files_does_not_change_what_is_learnt(splits, reordered, budget_mb):
    assert sorted(reordered["train"].paths) == sorted(splits["train"].paths)
    assert reordered["train"].paths.tolist() != splits["train"].paths.tolist()
    for one, two in zip(weights_of(splits, 64), weights_of(reordered, budget_mb), strict=True):
        np.testing.assert_array_equal(one, two)


FRESH = """
import hashlib, sys
import numpy as np
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.training.inputs import LabelledInputs, StoredInputs
from components.training.learners import Learner
from components.training.loop import train
from components.training.parameters import TrainingParameters
model = build_primary((64, 64, 3), True, LayerParameters(), 1)
draw = np.random.default_rng(0)
images, targets = draw.normal(size=(256, 64, 64, 3)).astype(np.float32), draw.integers(0, 2, 256).astype(np.int32)
labelled = LabelledInputs(StoredInputs(images), targets, np.ones(256, np.float32))
train(Learner(model, TrainingParameters(epochs=2, batch_size=32)), labelled, labelled)
print(hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest())
"""


@pytest.mark.e2e
def test_two_fresh_processes_train_the_same_weights():
    digests = {run_code(FRESH).strip() for _ in range(2)}
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256().hexdigest())


def test_operations_are_deterministic_for_as_long_as_asked_for():
    with deterministic_operations(False):
        assert not is_op_determinism_enabled()
    with pytest.raises(ZeroDivisionError), deterministic_operations(True):
        assert is_op_determinism_enabled()
        raise ZeroDivisionError
    assert not is_op_determinism_enabled()
