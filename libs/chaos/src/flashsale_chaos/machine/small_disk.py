"""A small file system in memory for the data of Redis, which can be made as small as what is in it."""

import os
import shutil
import subprocess
from pathlib import Path

from flashsale_chaos.machine.impossible import ImpossibleError

SIZE_MIB = 1024
"""Only what is used takes memory."""
COMMAND_TIMEOUT_SECONDS = 10.0
PAGE_BYTES = 4096


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        """Mount the file system at `folder`, which is created. Raises ImpossibleError without the rights or tools for it."""
        self._folder = folder
        if os.geteuid() != 0 or shutil.which("mount") is None:
            raise ImpossibleError("only root can mount a small file system")
        folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "tmpfs", str(folder))

    def fill(self) -> None:
        """Leave no free page: the next write that needs one fails with ENOSPC."""
        disk = os.statvfs(self._folder)
        self._resize(max(PAGE_BYTES, (disk.f_blocks - disk.f_bfree) * disk.f_frsize))

    def free(self) -> None:
        self._resize(SIZE_MIB * 2**20)

    def unmount(self, *, keep: bool) -> None:
        """As `unmount` below."""
        unmount(self._folder, keep=keep)

    def _resize(self, size_bytes: int) -> None:
        _run("mount", "-o", f"remount,size={size_bytes}", str(self._folder))


def unmount(folder: Path, *, keep: bool) -> None:
    """Nothing happens if no file system is mounted there. `keep` leaves what is in it in the folder. Raises ImpossibleError if it fails."""
    if not folder.is_mount():
        return
    copy = folder.with_name(f"{folder.name}.kept")
    if keep:
        shutil.copytree(folder, copy)
    _run("umount", "--lazy", str(folder))
    shutil.rmtree(folder, ignore_errors=True)
    if keep:
        copy.rename(folder)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ImpossibleError(f"{command[0]} did not end within {COMMAND_TIMEOUT_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise ImpossibleError(done.stderr.strip() or f"{command[0]} failed")
