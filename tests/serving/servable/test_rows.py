"""What a failed batch says: TensorFlow's own messages read, and the row found, at the price of how many runs."""

import numpy as np
import pytest
import tensorflow as tf

from serving import contract
from serving.errors import BadRowError, InternalError, InvalidArgumentError, ResourceExhaustedError
from serving.servable.model import Servable, string_array
from serving.servable.rows import graph_reason, run_batch
from serving.servable.versions import find_version

ROWS = 8


@pytest.fixture(scope="module")
def servable(model_base):
    return Servable(find_version(model_base))


@pytest.fixture
def runs(monkeypatch):
    """How many rows each run of a graph got; `fail` decides what it raises for them."""

    class Runs(list):
        fail = staticmethod(lambda rows: None)

    seen, run = Runs(), Servable.run

    def counted(self, signature, inputs):
        (rows,) = inputs.values()
        seen.append(len(rows))
        if (error := seen.fail(rows)) is not None:
            raise error
        return run(self, signature, inputs)

    monkeypatch.setattr(Servable, "run", counted)
    return seen


def refused(message, kind=tf.errors.InvalidArgumentError):
    return kind(None, None, message)


def failure_of(function, *arguments) -> tf.errors.OpError:
    with pytest.raises(tf.errors.OpError) as caught:
        tf.function(function)(*arguments)
    return caught.value


def asserting(message, *values):
    def check(holds):
        with tf.control_dependencies([tf.debugging.Assert(holds, [message, *values])]):
            return tf.identity(holds)

    return failure_of(check, tf.constant(False))


# --- graph_reason: messages that TensorFlow itself writes ---


@pytest.mark.parametrize(
    "message",
    [
        "image_bytes[3]: is empty",
        "it's \"quoted\", and 'so' is this",
        "a backslash \\ and two \\\\",
        "why?? so",
        "brackets [1, 2] (and more)",
        "image_bytes[0]: is 12,000 x 9,000 pixels, above the limit of 104,857,600 pixels",
    ],
)
def test_of_an_assertion_its_message_is_told_as_it_was_written(message):
    assert graph_reason(asserting(message)) == message


def test_of_several_values_that_an_assertion_shows_the_first_is_told():
    assert graph_reason(asserting("the sizes differ", tf.constant(3), tf.constant("x"))) == "the sizes differ"


def test_of_a_decoder_its_complaint_is_told_without_node_names():
    error = failure_of(lambda image: tf.io.decode_image(image, channels=3), tf.constant(b"no image at all"))
    assert "{{node" in error.message
    reason = graph_reason(error)
    assert reason.startswith("Unknown image file format")
    assert "node" not in reason
    assert "Graph execution error" not in reason


def test_of_an_operation_on_its_own_the_name_of_its_function_is_left_out():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.io.decode_jpeg(b"no image at all")
    assert caught.value.message.startswith("{{function_node")
    assert graph_reason(caught.value).startswith("Unknown image file format")


def test_an_error_without_a_message_has_the_name_of_its_kind():
    assert graph_reason(refused("")) == "InvalidArgumentError"


# --- a row that the graph names ---


def named(row, reason, rows=ROWS):
    return refused(f"assertion failed: [image_bytes[{row}]: {reason}]\n\t [[{{{{node Assert/Assert}}}}]]")


@pytest.mark.parametrize("row", [0, 3, ROWS - 1])
def test_a_row_that_the_graph_names_costs_no_further_run(servable, images, runs, row):
    runs.fail = lambda rows: named(row, "is 3 x 3 pixels, smaller than the window")
    with pytest.raises(BadRowError) as caught:
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array(images[:1] * ROWS)})
    assert str(caught.value) == f"image_bytes[{row}]: is 3 x 3 pixels, smaller than the window"
    assert caught.value.row == row
    assert runs == [ROWS]


def test_a_row_of_examples_is_named_by_the_input_that_it_came_in(servable, runs):
    runs.fail = lambda rows: named(2, "is a GIF")
    with pytest.raises(BadRowError) as caught:
        run_batch(servable, contract.SIGNATURE_EXAMPLES, {contract.INPUT_EXAMPLES: string_array([b"x"] * ROWS)})
    assert str(caught.value) == "examples[2]: is a GIF"
    assert (caught.value.input_name, caught.value.row) == ("examples", 2)
    assert runs == [ROWS]


def test_a_number_elsewhere_in_the_message_is_no_row(servable, images, runs):
    """Only a message that begins with the row names it."""
    runs.fail = lambda rows: refused("assertion failed: [got image_bytes[1]: twice]") if len(rows) == ROWS else None
    with pytest.raises(InvalidArgumentError, match=r"^got image_bytes\[1\]: twice$") as caught:
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array(images[:1] * ROWS)})
    assert not isinstance(caught.value, BadRowError)


# --- a row that it does not name ---


@pytest.mark.parametrize("bad", [[0], [5], [7], [2, 6], [3, 4, 5], list(range(ROWS))])
def test_the_first_bad_row_is_found_by_halving(servable, images, undecodable, runs, bad):
    batch = [undecodable if row in bad else images[0] for row in range(ROWS)]
    with pytest.raises(BadRowError) as caught:
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array(batch)})
    assert caught.value.row == min(bad)
    assert len(runs) <= 5  # the batch, its halves, the row itself
    assert sum(runs) <= 2 * ROWS


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
def test_the_last_row_of_batches_of_any_size_is_found(servable, images, undecodable, rows):
    with pytest.raises(BadRowError) as caught:
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array([*images[:1] * (rows - 1), undecodable])})
    assert caught.value.row == rows - 1


def test_a_bad_example_is_found_by_halving_too(servable, images, undecodable):
    def example(image):
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
        return tf.train.Example(features=tf.train.Features(feature={"image_bytes": feature})).SerializeToString()

    batch = [example(image) for image in (images[0], images[1], undecodable)]
    with pytest.raises(BadRowError, match=r"^examples\[2\]: "):
        run_batch(servable, contract.SIGNATURE_EXAMPLES, {contract.INPUT_EXAMPLES: string_array(batch)})


def test_a_refusal_by_the_header_runs_nothing(servable, images, runs):
    with pytest.raises(BadRowError, match=r"^image_bytes\[1\]: is empty"):
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array([images[0], b"", b""])})
    assert runs == []


# --- other failures ---


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(tf.errors.ResourceExhaustedError, ResourceExhaustedError), (tf.errors.UnimplementedError, InternalError)],
)
def test_what_is_not_the_requests_fault_blames_no_row(servable, images, runs, kind, expected):
    runs.fail = lambda rows: refused("no such thing\n\t [[{{node x}}]]", kind)
    with pytest.raises(expected, match=r"no such thing$"):
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: string_array(images[:4])})
    assert runs == [4]


def test_an_empty_batch_that_fails_is_refused_as_a_whole(servable, runs):
    runs.fail = lambda rows: refused("nothing to do")
    with pytest.raises(InvalidArgumentError, match=r"^nothing to do$"):
        run_batch(servable, "", {contract.INPUT_IMAGE_BYTES: np.array([], dtype=object)})
