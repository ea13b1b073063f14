"""Crash points: places where tests let a process die, next to each publish, commit, acknowledgement and script call.

`FLASHSALE_CRASH=outbox.confirmed:3` ends the process by SIGKILL when it passes that point for the third time. Without the variable
a point is an empty function.
"""

import os
import signal
from collections.abc import Callable, Mapping

VARIABLE = "FLASHSALE_CRASH"
_GATEWAY, _TIMEOUT_WORKER, _WORKERS, _KEEPER = ("gateway",), ("timeout-worker",), ("order-worker", "timeout-worker"), ("keeper",)
POINTS: Mapping[str, tuple[str, ...]] = {
    "script.calling": ("gateway", "keeper"),
    "script.answered": ("gateway", "keeper"),
    "outbox.publishing": _GATEWAY,
    "outbox.confirmed": _GATEWAY,
    "outbox.deleting": _GATEWAY,
    "outbox.deleted": _GATEWAY,
    "outbox.moved": _GATEWAY,
    "attestation.sending": _GATEWAY,
    "batch.received": _WORKERS,
    "batch.handled": _WORKERS,
    "batch.acknowledged": _WORKERS,
    "publication.confirmed": _TIMEOUT_WORKER,
    "message.parked": _WORKERS,
    "ledger.written": ("order-worker",),
    "ledger.committed": ("order-worker",),
    "expiry.calling": _TIMEOUT_WORKER,
    "expiry.answered": _TIMEOUT_WORKER,
    "probe.published": _TIMEOUT_WORKER,
    "incarnation.adding": _KEEPER,
    "incarnation.added": _KEEPER,
    "incarnation.moved": _KEEPER,
    "incarnation.closing": _KEEPER,
    "incarnation.closed": _KEEPER,
    "incarnation.opening": _KEEPER,
    "incarnation.opened": _KEEPER,
    "marker.publishing": _KEEPER,
    "marker.confirmed": _KEEPER,
    "marker.received": _KEEPER,
    "gateways.attested": _KEEPER,
    "rebuild.verified": _KEEPER,
}
"""The services that pass each point. Those of scripts are followed by the script's name: `script.answered.reserve`."""


def arm(environment: Mapping[str, str], kill: Callable[[], object]) -> Callable[..., None]:
    """The function that `point` is in this environment. Raises ValueError if the variable names no point or no number."""
    if not (value := environment.get(VARIABLE, "")):
        return _pass
    wanted, _, count = value.rpartition(":")
    if not (wanted in POINTS or wanted.startswith(("script.calling.", "script.answered."))) or not count.isdigit() or int(count) < 1:
        raise ValueError(f"{VARIABLE}={value}: write a point and the number of the pass, such as outbox.confirmed:3")
    left = int(count)

    def point(*name: str) -> None:
        nonlocal left
        if wanted in (name[0], ".".join(name)):
            left -= 1
            if left == 0:
                kill()

    return point


def _pass(*_name: str) -> None:
    pass


point = arm(os.environ, lambda: os.kill(os.getpid(), signal.SIGKILL))
"""Pass a point: its name, and the script's name where there is one."""
