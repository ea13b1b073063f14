"""A stack that a test, or a group of tests, has for itself."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack import Stack


@contextmanager
def private_stack(
    *,
    services: bool = True,
    redis_masters: int = 1,
    extra_env: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Stack]:
    """A running stack on free ports, in a temporary folder; stopped and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="flashsale-test-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home", say=say)
        stack.up(services=services, gateway_port=0, redis_masters=redis_masters, extra_env=extra_env)
        try:
            yield stack
        finally:
            stack.down()
