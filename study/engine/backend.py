"""Import TensorFlow and Keras quietly, for the engine's other modules."""

from __future__ import annotations

import os

from study import collector
from study.engine import compile_cache, quiet

# TensorFlow reads it at its import: no banner, no messages about absent GPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
compile_cache.enable()
with collector.held():
    with quiet.muted_stderr():
        import tensorflow as tf
    import keras

# it would report each program's first call as a retracing of the previous program
tf.get_logger().setLevel("ERROR")

__all__ = ["keras", "tf"]
