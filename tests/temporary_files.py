"""Where the tests keep temporary files: in memory, if the machine has room.

A disk that stands still for three seconds, as those of shared machines do, lets every server miss its time limits, and no test is
about that. The servers are killed and started again in many tests; a machine that loses power is in none of them.
"""

import os
import re
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 2 * 2**30
"""A whole run needs a tenth of it."""
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def keep_in_memory() -> None:
    """For this process and those that it starts. TMPDIR stays as it is if somebody has set it."""
    if "TMPDIR" not in os.environ and fits(SHARED_MEMORY, _free_memory_bytes()):
        os.environ["TMPDIR"] = str(SHARED_MEMORY)
        tempfile.tempdir = None  # it may be known by now


def fits(folder: Path, memory_bytes: int) -> bool:
    """Whether programs can write and run files in `folder`, and it has room on a machine with so much free memory."""
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return False
    room = os.statvfs(folder)
    # Containers often have a small one of 64 MB, without the right to run programs.
    return not room.f_flag & os.ST_NOEXEC and min(room.f_bavail * room.f_frsize, memory_bytes) >= FREE_BYTES_MIN


def _free_memory_bytes() -> int:
    try:
        available = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return 0
    limit = _CGROUP_LIMIT.read_text().strip() if _CGROUP_LIMIT.exists() else "max"
    free = int(available[1]) * 1024 if available else 0
    return free if limit == "max" else min(free, int(limit))
