"""The bench: a running stack with links to its servers, a second gateway with links of its own, and a second order-worker."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from signal import SIGKILL, Signals

from flashsale_chaos.faults import SERVERS, SERVICES
from flashsale_chaos.further import Further
from flashsale_chaos.loss import Loss
from flashsale_chaos.machine import Machine
from flashsale_chaos.network import Link
from flashsale_chaos.waiting import until
from flashsale_local_stack import Stack
from flashsale_local_stack.processes import exit_status


@dataclass
class Bench:
    stack: Stack
    links: dict[str, Link]
    """By server; those of the second gateway are called `gateway-2.redis` and so on."""
    further: dict[str, Further]
    """The second gateway and the second order-worker, by name."""
    gateways: list[str]
    """Base URLs: the stack's gateway and the second one."""
    direct_env: dict[str, str]
    """The stack's variables with the servers' own addresses, for what must not be disturbed."""
    machine: Machine
    crash_points: Counter[str] = field(default_factory=Counter)
    """How often a service died at each point, as `service/point`."""
    ended: list[str] = field(default_factory=list)
    """Services and servers that ended although no fault ended them."""
    losses: list[Loss] = field(default_factory=list)
    losses_only: bool = False
    """Whether all faults of the run are losses of Redis, which then happen one at a time."""
    sold_at: Callable[[], float] = lambda: 0.0
    """When the latest accepted order was asked for, by the monotonic clock."""
    unsold_at: float = 0.0
    """When a loss last gave up waiting for an order; 0 if none did."""
    moved: dict[int, str] = field(default_factory=dict)
    """The targets of faults that hit another one than planned, by the faults' numbers."""
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """A fault that ends a process holds the lock of its target: a second one waits until the first has undone itself."""

    @property
    def targets(self) -> tuple[str, ...]:
        """All servers and services, in the order of their start."""
        return (*SERVERS, *SERVICES, *self.further)

    @property
    def skipped(self) -> dict[str, str]:
        """Why kinds of faults cannot be injected on this machine."""
        return self.machine.skipped

    def pids(self, target: str) -> list[int]:
        """The process of a service or server; empty while it is dead."""
        if further := self.further.get(target):
            return [further.process.pid] if further.alive else []
        return [status.pid for status in self.stack.status() if status.name == target and status.pid]

    def address(self, target: str) -> str:
        """Host and port on which a service answers probes, or a server its clients."""
        if further := self.further.get(target):
            return further.address
        return next(status.address for status in self.stack.status() if status.name == target)

    def note_death(self, target: str, pids: Sequence[int], *, in_order: bool = False) -> None:
        """Count a death at a crash point. One that ended in another way ended by itself, unless it was told to end `in_order`."""
        statuses = [exit_status(pid) for pid in pids]
        if -SIGKILL in statuses:
            self.crash_points[target] += 1
        elif not in_order:
            self.ended.append(f"{target}: ended with status {statuses} before its point")

    async def dies(self, target: str, timeout_seconds: float) -> bool:
        """Wait until the target is dead; returns whether it is."""

        async def is_dead() -> bool:
            return not self.pids(target)

        return await until(is_dead, timeout_seconds)

    async def launch(self, target: str, crash: str = "") -> None:
        """Start the target if it does not run, without waiting until it is ready. Raises StackError."""
        more_env = {"FLASHSALE_CRASH": crash} if crash else {}
        if further := self.further.get(target):
            await asyncio.to_thread(further.launch, more_env)
        else:
            await asyncio.to_thread(self.stack.launch, target, more_env)

    async def kill(self, target: str) -> None:
        """End the target with SIGKILL; nothing happens if it is dead."""
        if further := self.further.get(target):
            await asyncio.to_thread(further.kill)
        else:
            await asyncio.to_thread(self.stack.kill, target)


def send(pid: int, number: Signals) -> None:
    """Nothing happens if the process has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
