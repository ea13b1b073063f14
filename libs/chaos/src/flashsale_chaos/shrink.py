"""Finds a smaller list of faults that still fails. Pure: the caller runs what is tried.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): delta debugging.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from flashsale_chaos.faults import Fault

Faults = Sequence[Fault]


async def shrink(faults: Faults, fails: Callable[[Faults], Awaitable[bool]], runs_max: int) -> Faults:
    """A part of `faults` that fails as well; `faults` themselves if none of the parts tried does. At most `runs_max` runs."""
    runs_left, parts = runs_max, 2
    while len(faults) >= 2:
        for candidate in _candidates(faults, parts):
            if runs_left == 0:
                return faults
            runs_left -= 1
            if await fails(candidate):
                # A complement keeps its granularity, a single part is divided again from two.
                parts = 2 if len(candidate) <= len(faults) // parts + 1 else max(parts - 1, 2)
                faults = candidate
                break
        else:
            if parts >= len(faults):
                return faults
            parts = min(2 * parts, len(faults))
    return faults


def _candidates(faults: Faults, parts: int) -> list[Faults]:
    """Each part alone, then all without each part."""
    bounds = [len(faults) * number // parts for number in range(parts + 1)]
    spans = list(pairwise(bounds))
    alone = [faults[begin:end] for begin, end in spans]
    return [*alone, *([*faults[:begin], *faults[end:]] for begin, end in spans if parts > 2)]
