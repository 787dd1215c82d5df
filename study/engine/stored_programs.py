"""Keep traced programs on disk, under names that depend only on what decides them.

XLA finds a compiled program again by its text, in which TensorFlow numbers functions and operations in the order in which a process
traced them: another study would compile the same program anew. So a program is traced once, its functions are named after its key,
and it always runs from that text: a process that meets the key again neither traces nor compiles. This uses TensorFlow's private
interface for functions; where that is missing or has changed, programs are traced in every process, with the same bits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from study.engine import compile_cache
from study.engine.backend import keras, tf
from study.engine.program import LegResult, Signature, program, result_structure

Program = Callable[..., LegResult]
Arguments = tuple[Any, ...]

PACKAGE = Path(__file__).parent.parent
DECIDING = ("engine", "settings", "records")  # the packages whose source decides a program
DIGEST = 32  # bytes
# what a changed private interface raises
CHANGED = (ImportError, AttributeError, TypeError, KeyError, ValueError)
_tracing = threading.Lock()  # programs are compiled ahead by another thread; compiling has a lock of TensorFlow's
failed: set[Path] = set()  # programs that XLA couldn't compile or read; TensorFlow keeps the failure with the function's name


def compiled(signature: Signature, arguments: Arguments) -> Program:
    """Return the program of a signature, traced and compiled, or read from disk where any process has done both.

    arguments: as the program takes them, with 0 epochs: it is called once with them. Raises TensorFlow's error if that fails.
    """
    if file := _file(signature, arguments):
        try:
            stored = _stored(file, signature, arguments)
            stored(*arguments)
            return stored
        except tf.errors.OpError:  # a torn file in the cache of compiled programs; any other error comes again
            compile_cache.clear()
            failed.add(file)
        except (OSError, zlib.error, *CHANGED):
            pass
    traced = program(signature).get_concrete_function(*arguments)
    traced(*arguments)
    return traced


def _file(signature: Signature, arguments: Arguments) -> Path | None:
    """Return the file that the program is kept in, if it can be used."""
    folder = compile_cache.used_folder()
    file = folder / f"{_key(signature, arguments)}.traced" if folder else None
    return None if file in failed else file


def _stored(file: Path, signature: Signature, arguments: Arguments) -> Program:
    """Return the program that runs from its text in `file`; written now if it isn't there, or torn."""
    with _tracing:
        try:
            name = _added(file)
        except (OSError, ValueError, zlib.error):
            concrete = program(signature).get_concrete_function(*arguments)
            _write(file, _renamed(concrete, f"program_{file.stem}"))
            name = _added(file)
    return _runner(name, result_structure(arguments[0]))


def _key(signature: Signature, arguments: Arguments) -> str:
    """Return what decides a program besides TensorFlow, the processor and the switches, which the folder's name holds."""
    told = dataclasses.asdict(signature) | {"settings": sorted(signature.settings)}
    # names and not shapes alone: the same tensors in other places are another program
    shapes = tf.nest.map_structure(lambda tensor: (tensor.dtype.name, tensor.shape), arguments)
    return hashlib.sha256(repr((_code(), told, shapes)).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    sources = [file.read_bytes() for package in DECIDING for file in sorted((PACKAGE / package).glob("*.py"))]
    return hashlib.sha256(b"\0".join([keras.__version__.encode(), *sources])).hexdigest()


@cache
def _added(file: Path) -> str:
    """Make the functions of a file known to this process, and return the name of the one to call."""
    from tensorflow.core.framework import function_pb2
    from tensorflow.python.eager import context

    content = file.read_bytes()
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        raise ValueError(file)
    library = function_pb2.FunctionDefLibrary.FromString(zlib.decompress(content[DIGEST:]))
    for function in library.function:
        context.context().add_function_def(function)
    return library.function[0].signature.name


def _runner(name: str, structure: LegResult) -> Program:
    from tensorflow.python.eager import context, execute

    count = len(tf.nest.flatten(structure))

    def run(*arguments: Any) -> LegResult:
        inputs = tf.nest.flatten(arguments)
        return tf.nest.pack_sequence_as(structure, execute.execute(name, count, inputs, attrs=(), ctx=context.context()))

    return run


def _renamed(concrete: Any, name: str) -> bytes:
    """Return the functions of a traced program, the one to call first, with names of their own in place of numbered ones."""
    from tensorflow.core.framework import function_pb2

    traced = [concrete.function_def, *concrete.graph.as_graph_def().library.function]
    names = {function.signature.name: f"{name}_{place}" for place, function in enumerate(traced)}
    library = function_pb2.FunctionDefLibrary()
    for function in traced:
        copy = library.function.add()
        copy.CopyFrom(function)
        copy.signature.name = names[function.signature.name]
        for node in copy.node_def:
            node.ClearField("experimental_debug_info")  # the places in the source, line by line
            for value in node.attr.values():
                if value.HasField("func"):
                    value.func.name = names[value.func.name]
    return library.SerializeToString(deterministic=True)


def _write(file: Path, content: bytes) -> None:
    packed = zlib.compress(content, 1)
    draft = file.with_name(f".{file.stem}.{os.getpid()}")
    try:
        draft.write_bytes(hashlib.sha256(packed).digest() + packed)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
