"""The engine: trains all replicates of a trial at once in TensorFlow. The only package that imports TensorFlow or Keras."""

from __future__ import annotations

import os

# read by TensorFlow at its import: no banner, no chatter about absent GPUs
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from study.cohort import compile_cache, quiet

compile_cache.enable()
with quiet.muted_stderr():
    import tensorflow

# it takes each program's first call for a retracing of the last one
tensorflow.get_logger().setLevel("ERROR")

from study.cohort.export import keras_model, load_predictor, predictor  # noqa: E402
from study.cohort.program import WIDTH  # noqa: E402
from study.cohort.training import Training, environment  # noqa: E402

__all__ = ["WIDTH", "Training", "environment", "keras_model", "load_predictor", "predictor"]
