"""Splits items into pieces of bounded count and size. Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def chunked(items: Iterable[T], count_max: int, size_max: int, size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in their order, in pieces of at most `count_max` items and `size_max` in total. A larger item is a piece by itself."""
    piece: list[T] = []
    size = 0
    for item in items:
        if piece and (len(piece) == count_max or size + size_of(item) > size_max):
            yield piece
            piece, size = [], 0
        piece.append(item)
        size += size_of(item)
    if piece:
        yield piece
