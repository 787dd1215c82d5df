"""Hold garbage collection where it only costs time: during imports, all of whose objects stay."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Collect no garbage in the block, and never look through what it leaves: it takes a fifth of TensorFlow's import.

    Changes nothing where the caller has switched collection off, as an outer block may have done.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
