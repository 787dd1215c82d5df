"""Pack text into a page: compressed, in 85 characters that need no escaping within a script element."""

from __future__ import annotations

import base64
import gzip

# of RFC 1924's alphabet, `<` alone means something within a script element
REPLACED, BY = "<", ","


def packed(text: str) -> str:
    """Return a text that the page's `unpacked` reads. It is a third of the size of JavaScript, a quarter of that of numbers."""
    return base64.b85encode(gzip.compress(text.encode(), mtime=0)).decode().replace(REPLACED, BY)


def unpacked(text: str) -> str:
    """Return the text that was packed."""
    return gzip.decompress(base64.b85decode(text.replace(BY, REPLACED))).decode()
