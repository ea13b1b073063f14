"""What a link does to the bytes between a client and its server. Pure."""

from collections.abc import Callable, Mapping, Sequence

import msgspec


class Mode(msgspec.Struct, frozen=True):
    """The default is plain: bytes pass as they come."""

    delay_ms: int = 0
    """Each piece passes this much later, in both directions."""
    hold_up: bool = False
    """What clients send is kept, with its order and its end, until the mode ends. TCP does that when packets are dropped."""
    hold_down: bool = False
    """What the server sends is kept."""
    lossy: bool = False
    """What was kept does not pass afterwards: all connections are reset when the mode ends."""
    cut_after_bytes: int | None = None
    """A connection ends after it has passed this many bytes, in both directions together."""
    refuse: bool = False
    """Connections are reset (RST), new ones as soon as they are accepted."""


def combined(modes: Sequence[Mode]) -> Mode:
    """What all modes together do to a connection."""
    cuts = [mode.cut_after_bytes for mode in modes if mode.cut_after_bytes is not None]
    return Mode(
        delay_ms=max((mode.delay_ms for mode in modes), default=0),
        hold_up=any(mode.hold_up for mode in modes),
        hold_down=any(mode.hold_down for mode in modes),
        cut_after_bytes=min(cuts, default=None),
        refuse=any(mode.refuse for mode in modes),
    )


BY_KIND: Mapping[str, Callable[[int], Mode]] = {
    "net.delay": lambda ms: Mode(delay_ms=ms),
    "net.drop_up": lambda lossy: Mode(hold_up=True, lossy=bool(lossy)),
    "net.drop_down": lambda lossy: Mode(hold_down=True, lossy=bool(lossy)),
    "net.cut": lambda cut_bytes: Mode(cut_after_bytes=cut_bytes),
    "net.reset": lambda _: Mode(refuse=True),
    "net.blackhole": lambda _: Mode(hold_up=True, hold_down=True),
}
"""The mode of each kind of fault, made of its amount: milliseconds, bytes, or whether the link loses what it kept."""
