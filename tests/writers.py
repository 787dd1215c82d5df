"""Writers to MLflow that start at once: forked off a process that has imported MLflow already, which takes two seconds.

Everything else is a writer's own: it is this process's child, in a session of its own, and runs `writer.main` with its arguments.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

# linux/prctl.h: orphaned descendants become children of the process that says so
SUBREAPER = 36


class Nursery:
    """The process that the writers of a test process are forked off. It starts at the first writer."""

    def __init__(self, folder: Path) -> None:
        """folder: of `databases.copying`."""
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def fork(self, command: Sequence[str], streams: Sequence[int]) -> int:
        """Has a writer forked, with these standard streams; returns its number."""
        with self._lock:
            if self._socket is None:
                self._socket, other = socket.socketpair()
                nursery = [sys.executable, "-m", "tests.writers", str(other.fileno()), str(self._folder)]
                root = str(Path(__file__).parent.parent)
                # threads of a library would not be there in a child
                alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
                self._process = subprocess.Popen(nursery, pass_fds=[other.fileno()], cwd=root, env=alone, start_new_session=True)
                other.close()
            told = json.dumps({"arguments": command, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
            # the nursery's child forks the writer and ends, which makes the writer a child of this process
            _prctl(1)
            try:
                socket.send_fds(self._socket, [len(told).to_bytes(8)], list(streams))
                self._socket.sendall(told)
                number = int.from_bytes(self._socket.recv(8, socket.MSG_WAITALL))
                assert number, "the process that forks writers has ended"
                return number
            finally:
                _prctl(0)

    def close(self) -> None:
        if self._process and self._socket:
            self._socket.close()
            self._process.wait()


def _prctl(on: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, on, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


class Forked(subprocess.Popen[str]):
    """A writer as `subprocess.Popen` would have started it."""

    nursery: Nursery

    def __init__(self, args: Sequence[str], **_: Any) -> None:
        """Like `tracking.spool.Writer` calls it: with pipes for standard input and output, in a session of its own."""
        heard, told = os.pipe()
        asked, answered = os.pipe()
        # what Popen's own methods look at
        self.args, self.returncode, self.universal_newlines = args, None, True
        self.stdin: TextIO = os.fdopen(told, "w", buffering=1)
        self.stdout: TextIO = os.fdopen(asked)
        self.stderr = None
        self._waitpid_lock = threading.Lock()
        self._input, self._communication_started, self._child_created = None, False, True
        try:
            self.pid = self.nursery.fork(args[args.index("-m") + 2 :], [heard, answered, 2])
        finally:
            os.close(heard)
            os.close(answered)


def main() -> None:
    from study import sqlite
    from study.tracking import writer
    from tests import databases

    connection = socket.socket(fileno=int(sys.argv[1]))
    sqlite._create = databases.copying(Path(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # or else a child's collector would copy all pages
    while True:
        size, streams, *_ = socket.recv_fds(connection, 8, 3)
        if not size:
            return
        message = json.loads(connection.recv(int.from_bytes(size), socket.MSG_WAITALL))
        told, tell = os.pipe()
        between = os.fork()
        if between == 0:
            number = os.fork()
            if number == 0:
                for each in (connection.fileno(), told, tell):
                    os.close(each)
                _become(message, streams)
                os._exit(_run(writer.main))
            os.write(tell, number.to_bytes(8))
            os._exit(0)
        # its parent must be settled before its number is sent
        os.waitpid(between, 0)
        connection.sendall(os.read(told, 8))
        for each in (*streams, told, tell):
            os.close(each)


def _run(program: Callable[[], None]) -> int:
    """Returns the exit code."""
    code = 0
    try:
        program()
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    sys.stderr.flush()
    return code


def _become(message: dict[str, Any], streams: Sequence[int]) -> None:
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(message["folder"])
    os.environ.clear()
    os.environ.update(message["environment"])
    sys.argv = ["writer", *message["arguments"]]


if __name__ == "__main__":
    main()
