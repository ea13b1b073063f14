"""The bench: a running stack whose services reach their servers through links, and a second gateway."""

from dataclasses import dataclass, field

from flashsale_local_stack import Stack


@dataclass
class Bench:
    stack: Stack
    gateways: list[str]
    """Base URLs: the stack's gateway and the bench's own."""
    direct_env: dict[str, str]
    """The stack's variables with the servers' own addresses, for what must not be disturbed."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why kinds of faults cannot be injected on this machine."""

    def pids(self, target: str) -> list[int]:
        """The processes of a service or server; empty while it is dead."""
        return [status.pid for status in self.stack.status() if status.name == target and status.pid]
