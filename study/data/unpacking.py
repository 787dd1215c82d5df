"""A file's bytes, unpacked where it is compressed, and no more of them than there is memory for."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

import pyarrow as pa

from study import processes
from study.errors import BadInput, Fault

GIGABYTE = 1e9
GZIP, BZIP2, XZ, ZSTD, ZIP = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
OPENERS: dict[bytes, Callable[[str], Any]] = {
    GZIP: gzip.open,
    BZIP2: bz2.open,
    XZ: lzma.open,
    ZSTD: lambda path: pa.CompressedInputStream(pa.OSFile(path), "zstd"),
}
# what the libraries raise for damaged content
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
NOT_MEMBERS = ("__MACOSX/", ".DS_Store")


class Unpacked(io.RawIOBase):
    """The unpacked bytes of a compressed file. Raises BadInput once they are more than the memory holds."""

    def __init__(self, path: str, stream: Any) -> None:
        self._path, self._stream, self._read, self._most = path, stream, 0, processes.free_memory()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self._read += len(block)
        check_size(self._path, self._read, self._most)
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


def magic_of(path: str) -> bytes:
    """Return the first bytes of a file as it lies on the disk."""
    with open(path, "rb") as stream:
        return stream.read(16)


def open_binary(path: str) -> IO[bytes]:
    """Open the file's bytes, unpacked if it is compressed. Raises BadInput for a zip that doesn't hold one file alone."""
    magic = magic_of(path)
    if magic.startswith((ZIP, EMPTY_ZIP)):
        return _buffered(path, _open_member(path))
    for start, opener in OPENERS.items():
        if magic.startswith(start):
            return _buffered(path, opener(path))
    return open(path, "rb")


def _buffered(path: str, stream: Any) -> IO[bytes]:
    return io.BufferedReader(Unpacked(path, stream), 1 << 20)


def members(path: str) -> list[zipfile.ZipInfo]:
    """Return the files in a zip, without those that macOS adds. Raises BadInput for a torn one, and where they hold too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [member for member in archive.infolist() if not member.is_dir() and not _is_added(member.filename)]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise BadInput([Fault("data.path", path, f"a whole zip file ({error})")]) from error
    check_size(path, sum(member.file_size for member in found), processes.free_memory())
    return found


def _is_added(name: str) -> bool:
    return name.startswith(NOT_MEMBERS) or name.endswith(NOT_MEMBERS)


def _open_member(path: str) -> Any:
    found = members(path)
    if len(found) != 1:
        names = ", ".join(repr(member.filename) for member in found[:3]) + ", …" * (len(found) > 3)
        got = f"{path}, a zip of {len(found)} files" + (f": {names}" if found else "")
        raise BadInput([Fault("data.path", got, "a zip of one table; unpack it and name the table's own file")])
    try:
        return zipfile.ZipFile(path).open(found[0])
    except RuntimeError as error:
        raise BadInput([Fault("data.path", path, f"a zip without a password; unpack it first ({error})")]) from error


def check_size(path: str, size: float, most: float) -> None:
    """Raise BadInput for a file whose unpacked content, of so many bytes, is more than the memory holds."""
    if size > most:
        got = f"{path}, whose content takes {size / GIGABYTE:.1f} GB or more"
        raise BadInput([Fault("data.path", got, f"a table that fits into the memory, of which {most / GIGABYTE:.1f} GB are free")])
