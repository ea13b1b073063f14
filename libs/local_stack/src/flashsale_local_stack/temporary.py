"""A stack for as long as a block runs. It ends with the process as well, however that ends."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flashsale_local_stack.stack import Stack
from flashsale_local_stack.watchdog import watched


@contextmanager
def temporary_stack(
    home: Path, gateway_port: int, say: Callable[[str], None], pages: Sequence[str] | None = None
) -> Iterator[Mapping[str, str]]:
    """The variables of the stack in `home`: the one that runs, or one that is started here and stopped at the end.

    `gateway_port` and `pages` apply only if a stack is started; port 0 chooses a free one. Data that existed before is kept.
    `pages` are the optional services that start as well; None keeps the previous ones.
    Raises StackError if the stack cannot start or stop.
    """
    stack = Stack(home, say=say)
    existed = bool(stack.status())
    if stack.running:
        say("using the stack that is running")
        yield stack.env()
        return
    with watched(stack.home, keep=existed):
        stack.up(gateway_port=gateway_port, optional=pages)
        try:
            yield stack.env()
        finally:
            stack.down(keep_data=existed)


@contextmanager
def private_stack(
    *,
    services: bool = True,
    redis_masters: int = 1,
    extra_env: Mapping[str, str] | None = None,
    optional: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Stack]:
    """A running stack on free ports, in a temporary folder; stopped and removed afterwards. Raises StackError."""
    with tempfile.TemporaryDirectory(prefix="flashsale-stack-", ignore_cleanup_errors=True) as folder:
        stack = Stack(Path(folder) / "home", say=say)
        with watched(stack.home, keep=False):
            stack.up(services=services, gateway_port=0, redis_masters=redis_masters, extra_env=extra_env, optional=optional)
            try:
                yield stack
            finally:
                stack.down()
