"""The names on the wire: what a client sends, what a servable answers.

Everything here is a plain constant, and this module imports nothing, so that the pipeline, the server and a client
without TensorFlow agree by importing the same names. Changing a value breaks deployed clients: add, never rename.
"""

DEFAULT_MODEL_NAME = "generator_attribution"

# Labels of detection: what the primary module is trained on. Real is the negative class.
REAL_LABEL = 0
FAKE_LABEL = 1

# Signatures of every servable, whatever is inside (pixel or DCT input; any number of heads, none included).
SIGNATURE_DEFAULT = "serving_default"
SIGNATURE_EXAMPLES = "serving_examples"
SIGNATURE_EXPLAIN = "explain"
SIGNATURE_TRANSFORM = "transform_features"

# Inputs. A name that ends in "_bytes" is what makes TF Serving's REST API accept {"b64": ...} for it.
INPUT_IMAGE_BYTES = "image_bytes"  # string [batch]: one encoded image (JPEG, PNG, ...) a row
INPUT_EXAMPLES = "examples"  # string [batch]: one serialized tf.Example a row

# Outputs; the batch comes first in each, so that REST's row format works.
OUTPUT_FAKE_PROBABILITY = "fake_probability"  # float32 [batch], 0..1
OUTPUT_SOURCE_PROBABILITIES = "source_probabilities"  # float32 [batch, heads], 0..1
OUTPUT_SOURCE_NAMES = "source_names"  # string [batch, heads]: which source each column speaks of
# float32 [batch, 2], 0..1: lowest and highest of the image and its mild re-savings; of servables with stability alone.
OUTPUT_FAKE_PROBABILITY_RANGE = "fake_probability_range"
OUTPUT_VERDICT = "verdict"  # string [batch]: one of the verdicts below, or a source's name
OUTPUT_DETECTION_HEATMAP = "detection_heatmap"  # float32 [batch, height, width]
OUTPUT_SOURCE_HEATMAPS = "source_heatmaps"  # float32 [batch, heads, height, width]

# Verdicts other than a source's name.
VERDICT_REAL = "real"  # the primary module says real, and no head claims the image
VERDICT_UNKNOWN_GENERATOR = "unknown_generator"  # the primary module says fake, and no head claims the image
VERDICT_CONTRADICTION = "contradiction"  # the primary module says real, yet a head claims the image
# Neither real nor fake: the primary module's probability lies in the servable's band, or re-savings change its mind.
VERDICT_UNCERTAIN = "uncertain"
RESERVED_VERDICTS = (VERDICT_REAL, VERDICT_UNKNOWN_GENERATOR, VERDICT_CONTRADICTION, VERDICT_UNCERTAIN)

# Files of a servable, relative to its version directory.
# {"detection": t, "sources": {name: t}, "input": {...}}; with a band, "uncertain_band": [lowest, highest] too;
# with an acceptance threshold, "acceptance": {"score": s, "threshold": t, "known_rejection": share}, or the bare t of
# the score "highest_head"; where none could be chosen, t is null and "note" says why. With re-savings, "stability": n.
ASSET_OPERATING_POINTS = "assets/operating_points.json"
ASSET_LABEL_MAP = "assets/label_map.json"  # {"detection": {"real": 0, "fake": 1}, "sources": [...], "verdicts": [...]}
WARMUP_REQUESTS = "assets.extra/tf_serving_warmup_requests"
# What `genattr monitor` compares traffic with: TFDV's statistics of the images that the servable was judged on.
REFERENCE_STATISTICS = "assets.extra/reference_statistics.pb"
# Training data, recipe, date and licences, see serving.servable.trained_on.
TRAINED_ON = "assets.extra/trained_on.json"

# Limits that the served graph, the embedded server and the client all state. 64 megapixels is beyond today's phones;
# a decoded image of that size takes 192 MB.
MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_IMAGE_PIXELS = 100 * 1024 * 1024  # the largest sensors of medium-format cameras

# What each signature takes and answers; () means that the outputs' names are the servable's own.
PREDICTION_OUTPUTS = (
    OUTPUT_FAKE_PROBABILITY,
    OUTPUT_SOURCE_PROBABILITIES,
    OUTPUT_SOURCE_NAMES,
    OUTPUT_VERDICT,
)
HEATMAP_OUTPUTS = (OUTPUT_DETECTION_HEATMAP, OUTPUT_SOURCE_HEATMAPS)
SIGNATURES = {
    SIGNATURE_DEFAULT: (INPUT_IMAGE_BYTES, PREDICTION_OUTPUTS),
    SIGNATURE_EXAMPLES: (INPUT_EXAMPLES, PREDICTION_OUTPUTS),
    SIGNATURE_EXPLAIN: (INPUT_IMAGE_BYTES, PREDICTION_OUTPUTS + HEATMAP_OUTPUTS),
    SIGNATURE_TRANSFORM: (INPUT_EXAMPLES, ()),
}

# Limits of one request, and TF Serving's own ports.
MAX_BATCH_ROWS = 256
MAX_REQUEST_BYTES = 64 * 1024 * 1024  # one image of MAX_IMAGE_BYTES still fits when base64 makes it a third larger
DEFAULT_GRPC_PORT = 8500
DEFAULT_REST_PORT = 8501
