"""Arrow's many types for the same content, reduced to one each: what other programs write is read as if this one had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Column = Any  # pa.ChunkedArray; pyarrow has no types

LONGEST = 2**31 - 1  # bytes that a text column's 32-bit offsets can address


def plain(column: Column) -> Column:
    """Return a column [n] of numbers, texts, booleans or times without dictionaries, run lengths, views and extensions.

    Bytes are texts if they are UTF-8. A column of another kind, such as lists, is returned as it is.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(_each(column, lambda chunk: chunk.storage))
    if pa.types.is_run_end_encoded(kind):
        return plain(_each(column, pc.run_end_decode))
    if pa.types.is_dictionary(kind):
        # Arrow has no cast of a dictionary of views
        return _each(column, lambda chunk: pc.take(plain(pa.chunked_array([chunk.dictionary])), chunk.indices).combine_chunks())
    if pa.types.is_float16(kind):
        return pc.cast(column, pa.float32())
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):  # Arrow computes little with these
        return pc.cast(column, pa.decimal128(kind.precision, kind.scale))
    if pa.types.is_string_view(kind):
        return pc.cast(column, pa.string() if column.nbytes < LONGEST else pa.large_string())
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    if binary or kind == pa.binary_view():
        try:
            return pc.cast(column, pa.large_string())
        except pa.ArrowInvalid:  # no text
            return column
    return column


def _each(column: Column, change: Callable[[Any], Any]) -> Column:
    chunks = [change(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks) if chunks else pa.chunked_array([pa.array([], pa.null())])


def as_texts(column: Column) -> Column:
    """Return a column of numbers as texts, whole ones without decimals, as Python and a text file write them."""
    if pa.types.is_floating(column.type) and pc.all(pc.equal(pc.floor(column), column)).as_py():
        column = pc.cast(column, pa.int64())
    return pc.cast(column, pa.string())


def is_text(kind: Any) -> bool:
    return pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_numeric(kind: Any) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
