"""Small files that ask for much memory, against an exported graph alone: as on a server that checks nothing itself."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import tensorflow as tf

from serving import contract
from tests.support import bombs
from tests.support.images import SIZE, encode, noise

MOST_GROWTH = 50 * bombs.MEBIBYTE


@pytest.fixture(scope="module")
def measured(random_folder):
    if not bombs.RESET.exists():
        pytest.skip("the peak of memory is read from Linux's /proc")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(bombs.measure, str(random_folder("pixel"))).result()
        except OSError as error:
            pytest.skip(f"the kernel does not let a process measure its own peak of memory: {error}")


@pytest.mark.parametrize("kind", bombs.SIZES)
def test_a_header_beyond_the_limit_is_refused_without_memory(measured, kind):
    growth, message = measured[kind]
    side = bombs.SIZES[kind][1]
    assert f"image_bytes[1]: is {side:,} x {side:,} pixels, above the limit of 104,857,600 pixels" in message
    assert growth < MOST_GROWTH


@pytest.mark.parametrize("kind", bombs.TOO_LONG)
def test_too_many_bytes_are_refused_without_memory(measured, kind):
    growth, message = measured[f"33 MiB, {kind}"]
    assert "image_bytes[1]: holds 34,603,008 bytes, above the limit of 33,554,432" in message
    assert growth < MOST_GROWTH


def test_what_is_legal_takes_more_which_shows_that_the_measure_sees_it(measured):
    growth, message = measured[bombs.LEGAL]
    assert message == ""
    assert growth > 150 * bombs.MEBIBYTE  # 192 MB of pixels


def test_the_bombs_are_small():
    assert max(len(make(side, side)) for make, side in bombs.SIZES.values()) < bombs.MEBIBYTE


def ask(signatures, image: bytes, signature: str = contract.SIGNATURE_DEFAULT) -> str:
    """Returns TensorFlow's message."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    example = tf.train.Example(features=tf.train.Features(feature={"image_bytes": feature})).SerializeToString()
    name = contract.SIGNATURES[signature][0]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        signatures[signature](**{name: tf.constant([{"image_bytes": image, "examples": example}[name]])})
    return caught.value.message


@pytest.mark.parametrize("signature", list(contract.SIGNATURES))
def test_every_signature_refuses_a_bomb(random_signatures, signature):
    message = ask(random_signatures, bombs.claiming_png(40_000, 40_000), signature)
    assert "image_bytes[0]: is 40,000 x 40,000 pixels, above the limit" in message


def test_a_header_at_the_limit_is_left_to_the_decoder(random_signatures):
    """8,192 x 8,192 pixels are allowed; this one's data are missing, which is another reason."""
    assert "above the limit" not in ask(random_signatures, bombs.claiming_png(10_240, 10_240))
    assert "above the limit" in ask(random_signatures, bombs.claiming_png(10_240, 10_241))


def test_a_side_below_the_window_is_refused_whatever_the_other(random_signatures):
    message = ask(random_signatures, bombs.claiming_png(SIZE - 1, 60_000))
    assert f"smaller than the window of {SIZE} x {SIZE}" in message


def test_good_images_are_still_answered(random_signatures):
    answers = random_signatures["serving_default"](image_bytes=tf.constant([encode(noise(2))]))
    assert answers["verdict"].shape == (1,)
