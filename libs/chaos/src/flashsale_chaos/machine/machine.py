"""What this machine allows: prepared before the stack starts, undone after it has stopped."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from flashsale_chaos.machine.clock import Clock
from flashsale_chaos.machine.impossible import ImpossibleError
from flashsale_chaos.machine.slow_fsync import check_strace
from flashsale_chaos.machine.small_disk import SmallDisk
from flashsale_local_stack import binaries


@dataclass
class Machine:
    redis_server: str
    """The program that the stack starts as Redis."""
    clock: Clock | None = None
    disk: SmallDisk | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    """Kinds that cannot be injected here, with the reason."""

    def heal(self) -> None:
        """The clock is right, and the disk has room."""
        if self.clock is not None:
            self.clock.reset()
        if self.disk is not None:
            self.disk.free()

    def close(self, *, keep: bool) -> None:
        """Unmount the small disk, after Redis has ended; `keep` leaves what was in it in the same folder."""
        if self.disk is not None:
            with contextlib.suppress(ImpossibleError):
                self.disk.unmount(keep=keep)


def prepare(home: Path) -> Machine:
    """For the stack in `home`, before its first start."""
    folder = home / "machine"
    folder.mkdir(parents=True, exist_ok=True)
    machine = Machine(binaries.redis_server())
    try:
        machine.clock = Clock(folder, machine.redis_server)
        machine.redis_server = machine.clock.redis_server
    except ImpossibleError as error:
        machine.skipped["clock.jump"] = str(error)
    try:
        machine.disk = SmallDisk(redis_data(home))
    except ImpossibleError as error:
        machine.skipped["redis.full_disk"] = str(error)
    try:
        check_strace()
    except ImpossibleError as error:
        machine.skipped["redis.slow_fsync"] = str(error)
    return machine


def redis_data(home: Path) -> Path:
    """Where the stack in `home` keeps the data of its Redis."""
    return home / "redis" / "data"
