"""The stack for those who need one for a while: as it is if it runs, else started here and stopped at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flashsale_cli.environment import Surroundings
from flashsale_local_stack import Stack

HOME = Path(".flashsale")


@contextmanager
def running_stack(home: Path, gateway_port: int, say: Callable[[str], None]) -> Iterator[Surroundings]:
    """`gateway_port` is that of a stack that is started; 0 takes a free one. Data that was there before stays."""
    stack = Stack(home, say=say)
    existed = bool(stack.status())
    if stack.running:
        say("using the stack that is running")
        yield Surroundings(stack.env())
        return
    stack.up(gateway_port=gateway_port)
    try:
        yield Surroundings(stack.env())
    finally:
        stack.down(keep_data=existed)
