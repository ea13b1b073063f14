"""A wall clock of Redis that can jump: a small library that is preloaded into the server reads an offset from a file."""

import mmap
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsale_chaos.machine.impossible import ImpossibleError

SOURCE = Path(__file__).with_name("clock.c")
COMPILE_TIMEOUT_SECONDS = 60.0
_OFFSET = struct.Struct("q")


class Clock:
    def __init__(self, folder: Path, redis_server: str) -> None:
        """Compile the library into `folder`. Raises ImpossibleError if there is no C compiler, or if it fails."""
        self._folder = folder
        self._offset_file = folder / "clock.offset"
        self._offset_file.write_bytes(_OFFSET.pack(0))
        self.redis_server = self._write_starter(_compile(folder / "clock.so"), redis_server)

    def shift(self, by_ms: int) -> None:
        """Move the clock. Shifts add up, so each fault undoes its own."""
        with self._mapped() as mapped:
            mapped[:] = _OFFSET.pack(_OFFSET.unpack(mapped[:])[0] + by_ms * 1000)

    def reset(self) -> None:
        with self._mapped() as mapped:
            mapped[:] = _OFFSET.pack(0)

    @contextmanager
    def _mapped(self) -> Iterator[mmap.mmap]:
        """The page that Redis has mapped and reads at any time. A file that is truncated meanwhile would end Redis by SIGBUS."""
        with self._offset_file.open("r+b") as file, mmap.mmap(file.fileno(), _OFFSET.size) as mapped:
            yield mapped

    def _write_starter(self, library: Path, redis_server: str) -> str:
        """A program that starts Redis with the library: only Redis has the other clock."""
        variables = f"LD_PRELOAD={shlex.quote(str(library))} CHAOS_CLOCK_FILE={shlex.quote(str(self._offset_file))}"
        starter = self._folder / "redis-server"
        starter.write_text(f'#!/bin/sh\n{variables} exec {shlex.quote(redis_server)} "$@"\n')
        starter.chmod(0o700)
        return str(starter)


def _compile(library: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        raise ImpossibleError("there is no C compiler (cc)")
    # The dynamic linker splits LD_PRELOAD at both.
    if {" ", ":"} & set(str(library)):
        raise ImpossibleError(f"the folder's name has a space or a colon: {library.parent}")
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise ImpossibleError(f"clock.c cannot be compiled: {done.stderr.strip()}")
    return library
