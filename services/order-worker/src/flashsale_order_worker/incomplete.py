"""Finds the entries that the ledger cannot have in full, because a line of their body cannot be decoded. Pure.

Their positions must not count as received: after a loss of Redis they would hide orders that are only in the parked message.
"""

from collections.abc import Iterator, Sequence

from flashsale_core.entry_ranges import position_of
from flashsale_core.messages import Position, decode, position_in


def incomplete_positions(body: bytes) -> Iterator[Position]:
    """The positions of the lines that cannot be decoded.

    The position of a broken line may be unreadable. The lines of an entry follow each other, so that line may belong to the entry before it
    or to the one after it: both count as incomplete.
    """
    lines = [_read(line) for line in body.split(b"\n")]
    for index, (decodable, position) in enumerate(lines):
        if decodable:
            continue
        if position is not None:
            yield position
        else:
            yield from _nearest(lines[:index][::-1])
            yield from _nearest(lines[index + 1 :])


def _read(line: bytes) -> tuple[bool, Position | None]:
    """Whether the line is a message that this release reads, and its position if that can be read."""
    try:
        return True, position_of(decode(line))
    except ValueError:
        return False, position_in(line)


def _nearest(lines: Sequence[tuple[bool, Position | None]]) -> Iterator[Position]:
    """The position of the first line that has one."""
    position = next((position for _, position in lines if position is not None), None)
    if position is not None:
        yield position
