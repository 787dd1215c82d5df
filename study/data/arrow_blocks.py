"""Let Arrow read lines that are longer than the blocks in which it reads a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

BLOCK, LARGEST_BLOCK = 1 << 20, 1 << 30  # bytes
TOO_SHORT = re.compile("straddling object|Empty CSV file or block")


def with_long_lines(parse: Callable[[int], Any]) -> Any:
    """Return what `parse` returns, given the number of bytes to read at once: ever more where a line doesn't fit into them."""
    block = BLOCK
    while True:
        try:
            return parse(block)
        except pa.ArrowInvalid as error:
            if block >= LARGEST_BLOCK or not TOO_SHORT.search(str(error)):
                raise
            block = min(8 * block, LARGEST_BLOCK)
