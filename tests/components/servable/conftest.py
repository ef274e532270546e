"""Servables that several tests ask."""

import pytest
import tensorflow as tf

from tests.support.servables import export_random, textured_images


@pytest.fixture(scope="session")
def many_images():
    return textured_images(64)


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory, many_images):
    """Representation -> the version directory of a servable with four heads, whose probabilities spread."""
    done = {}

    def folder(representation):
        if representation not in done:
            done[representation] = tmp_path_factory.mktemp(f"random_{representation}") / "1"
            export_random(done[representation], representation, many_images)
        return done[representation]

    return folder


@pytest.fixture(scope="session", params=["pixel", "dct"])
def random_signatures(request, random_folder):
    loaded = tf.saved_model.load(str(random_folder(request.param)))  # its signatures hold it only weakly
    yield loaded.signatures
