"""What the machine is, and how fast it could go at best: the limits that rows are compared with."""

import os
import platform
import re
import time
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "apache-beam", "tfx")
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "amx_tile")


def describe() -> dict[str, object]:
    """Returns the processor, its cores and instruction sets, memory, and the versions of what computes."""
    information = Path("/proc/cpuinfo").read_text()
    flags = set(_first(r"flags\s*:\s*(.*)", information).split())
    memory = int(_first(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()))
    return {
        "processor": _first(r"model name\s*:\s*(.*)", information),
        "cores": len(os.sched_getaffinity(0)),
        "instructions": [name for name in _FEATURES if name in flags],
        "memory_gb": round(memory / 2**20),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "as TensorFlow chooses"),
    }


def one_line(machine: dict) -> str:
    """Returns the description as a phrase."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    instructions = ", ".join(machine["instructions"]) or "no AVX2"
    return (
        f"{machine['processor']} ({instructions}), {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"Python {machine['python']}, {packages}"
    )


def multiplied_per_second(seconds: float = 1.0) -> float:
    """Returns floating-point operations a CPU-second of a float32 matrix product, 1024 x 1024, in TensorFlow."""
    import tensorflow as tf

    factor = tf.random.stateless_normal((1024, 1024), (1, 2))
    product = tf.function(lambda: tf.linalg.matmul(factor, factor))
    product()
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        product().numpy()
        count += 1
    return 2 * 1024**3 * count / spent


def copied_per_second(seconds: float = 1.0) -> float:
    """Returns bytes a CPU-second that are copied within memory, in pieces of 64 MB."""
    import numpy as np

    source = np.ones(2**26, np.uint8)
    target = np.empty_like(source)
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        np.copyto(target, source)
        count += 1
    return source.nbytes * count / spent


def decoded_per_second(encoded: list[bytes], seconds: float = 1.0) -> float:
    """Returns images a CPU-second that TensorFlow decodes, in one graph, and does nothing else with.

    Args:
        encoded: PNG or JPEG images.
        seconds: how long to try.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def decode(files: tf.Tensor) -> tf.Tensor:
        heights = tf.map_fn(
            lambda file: tf.shape(tf.io.decode_image(file, expand_animations=False))[0],
            files, fn_output_signature=tf.int32,
        )  # fmt: skip
        return tf.reduce_sum(heights)

    files = tf.constant(encoded)
    decode(files)
    count, started = 0, time.process_time()
    while (spent := time.process_time() - started) < seconds:
        decode(files).numpy()
        count += len(encoded)
    return count / spent


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else "unknown"
