"""The types of arrays, and of single values, that records hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from study.settings.values import Scalar as Scalar

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Array = npt.NDArray[Any]
