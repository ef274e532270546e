"""A servable small enough to know its answers by heart, with all signatures of the contract; nothing is trained."""

from pathlib import Path

from serving import contract

RED, GREEN = "progan_red", "stylegan_green"
VERSION = 3
SMALLEST = 4  # pixels: the fixture's graph refuses smaller images, as a real one does

# Colour -> verdict by the rules: fake if brightness >= 0.5; a source claims if its channel >= 0.5.
COLOURS = {
    "black": ((0, 0, 0), contract.VERDICT_REAL),
    "red": ((255, 0, 0), contract.VERDICT_CONTRADICTION),
    "orange": ((255, 200, 0), RED),
    "mint": ((150, 255, 10), GREEN),
    "lilac": ((100, 110, 255), contract.VERDICT_UNKNOWN_GENERATOR),
}


def export_servable(path: Path) -> None:
    """Writes it to a version's directory."""
    import tensorflow as tf

    class Fixture(tf.Module):
        def _colour(self, image_bytes):
            def mean(encoded):
                image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
                shape = tf.shape(image)
                tf.debugging.assert_greater_equal(
                    tf.minimum(shape[0], shape[1]), SMALLEST, message="image is too small"
                )
                return tf.reduce_mean(tf.cast(image, tf.float32) / 255.0, axis=[0, 1])

            return tf.map_fn(mean, image_bytes, fn_output_signature=tf.TensorSpec((3,), tf.float32))

        def _answer(self, image_bytes):
            colour = self._colour(image_bytes)
            fake, sources = tf.reduce_mean(colour, axis=1), colour[:, :2]
            names = tf.constant([RED, GREEN])
            is_fake, claimed = fake >= 0.5, tf.reduce_max(sources, axis=1) >= 0.5
            verdict = tf.where(
                is_fake,
                tf.where(claimed, tf.gather(names, tf.argmax(sources, axis=1)), contract.VERDICT_UNKNOWN_GENERATOR),
                tf.where(claimed, contract.VERDICT_CONTRADICTION, contract.VERDICT_REAL),
            )
            return {
                contract.OUTPUT_FAKE_PROBABILITY: fake,
                contract.OUTPUT_SOURCE_PROBABILITIES: sources,
                contract.OUTPUT_SOURCE_NAMES: tf.tile(names[tf.newaxis], [tf.shape(fake)[0], 1]),
                contract.OUTPUT_VERDICT: verdict,
            }

        def _image_bytes(self, examples):
            features = {"image_bytes": tf.io.FixedLenFeature((), tf.string)}
            return tf.io.parse_example(examples, features)["image_bytes"]

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
        def serving_default(self, image_bytes):
            return self._answer(image_bytes)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
        def serving_examples(self, examples):
            return self._answer(self._image_bytes(examples))

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
        def explain(self, image_bytes):
            answer = self._answer(image_bytes)
            # Evidence in one corner, of the strength of the probability: top left for detection, right for sources.
            detection = tf.constant([[1.0, 0.0], [0.0, -1.0]]) * answer["fake_probability"][:, None, None]
            sources = tf.constant([[0.0, 1.0], [0.0, 0.0]]) * answer["source_probabilities"][:, :, None, None]
            return answer | {"detection_heatmap": detection, "source_heatmaps": sources}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="examples")])
        def transform_features(self, examples):
            return {"colour": self._colour(self._image_bytes(examples))}

    fixture = Fixture()
    tf.saved_model.save(fixture, str(path), {name: getattr(fixture, name) for name in contract.SIGNATURES})
