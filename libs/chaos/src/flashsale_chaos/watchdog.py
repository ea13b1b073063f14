"""`python -m flashsale_chaos.watchdog HOME`: ends the stack of a run that was killed, and unmounts its small disk."""

from contextlib import AbstractContextManager
from pathlib import Path

from flashsale_chaos.machine import redis_data, unmount
from flashsale_local_stack import watchdog


def watched(home: Path, *, keep: bool) -> AbstractContextManager[None]:
    """As flashsale_local_stack.watchdog.watched."""
    return watchdog.watched(home, keep=keep, module="flashsale_chaos.watchdog")


if __name__ == "__main__":
    watchdog.main(lambda home, keep: unmount(redis_data(home), keep=keep))
