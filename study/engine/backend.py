"""TensorFlow and Keras, imported quietly: what the engine's other modules take them from."""

from __future__ import annotations

import os

from study.engine import compile_cache, quiet

# read by TensorFlow at its import: no banner, no chatter about absent GPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
compile_cache.enable()
with quiet.muted_stderr():
    import tensorflow as tf

# it takes each program's first call for a retracing of the last one
tf.get_logger().setLevel("ERROR")

import keras  # noqa: E402

__all__ = ["keras", "tf"]
