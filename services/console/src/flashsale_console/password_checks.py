"""Checks of passwords in one thread: each takes 32 MiB and some tenths of a second, and the event loop serves other pages meanwhile."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from flashsale_core.passwords import LENGTH_MAX, is_password

WAITING_MAX = 8
"""Checks under way or waiting; the executor's own queue has no bound."""


class PasswordChecks:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        return self._waiting >= WAITING_MAX

    async def is_password(self, password: str, hashed: str) -> bool:
        """Whether `hashed` is the hash of `password`."""
        self._waiting += 1
        try:
            given = password[: LENGTH_MAX + 1]
            return await asyncio.get_running_loop().run_in_executor(self._thread, is_password, given, hashed)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
