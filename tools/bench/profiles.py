"""CPU profiles that py-spy records: its folded stacks, and the share of time of each party."""

import linecache
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

WAITS = {"poll", "epoll_wait", "epoll_pwait", "_PollLikeSelector.select"}
"""Time that nobody uses. py-spy leaves out threads that sleep, but its pause wakes them, and on busy cores it records their way back."""
OTHER = "Python and others"
PARTIES: Mapping[str, tuple[str, ...]] = {
    "flashsale": ("flashsale_",),
    "uvicorn": ("uvicorn/",),
    "redis-py": ("redis/",),
    "aio-pika": ("aio_pika/", "aiormq/", "pamqp/"),
    "asyncpg": ("asyncpg/",),
    "uvloop and the event loop": ("uvloop/", "asyncio/"),
}
"""Name -> the packages that belong to it."""
SOCKETS, GARBAGE = "sockets (system calls)", "garbage collector"
CALLS: Mapping[str, str] = {
    **dict.fromkeys(("read", "write", "writev", "recv", "send", "sendmsg", "accept4", "getsockname", "shutdown", "close"), SOCKETS),
    "gc_collect_main": GARBAGE,
}
"""C functions with a party of their own."""


@dataclass(frozen=True, slots=True)
class Frame:
    name: str
    file: str
    line: int = 0

    @property
    def is_python(self) -> bool:
        return self.file.endswith(".py") or self.file.startswith("<")

    @property
    def place(self) -> str:
        """The file's path, from its package on."""
        return re.sub(r".*/(site-packages|src|lib/python[0-9.]+)/", "", self.file)

    @property
    def party(self) -> str:
        return next((party for party, packages in PARTIES.items() if self.place.startswith(packages)), OTHER)

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip() or f"line {self.line}"


@dataclass(frozen=True, slots=True)
class CallStack:
    frames: tuple[Frame, ...]
    """Python's frames, from the first call to the last."""
    native: Frame | None = None
    """The C function, if any, that the last line called."""

    @property
    def party(self) -> str:
        """The owner of the line that ran. System calls and the garbage collector are parties of their own."""
        return CALLS.get(self.native.name if self.native else "", self.frames[-1].party)


Profile = Mapping[CallStack, int]
"""Call stack -> number of samples."""


def shares(profile: Profile) -> dict[str, float]:
    """Party -> its share of all samples, the largest first."""
    samples_of: Counter[str] = Counter()
    for stack, samples in profile.items():
        samples_of[stack.party] += samples
    return {party: samples / samples_of.total() for party, samples in samples_of.most_common()}


def read_folded(folded: str) -> Profile:
    """Read py-spy's raw format: on each line the frames of a stack with `;` between them, and the number of samples."""
    profile: Counter[CallStack] = Counter()
    for line in folded.splitlines():
        words, _, samples = line.rpartition(" ")
        frames = [_frame(text) for text in words.split(";")]
        python = tuple(frame for frame in frames if frame.is_python)
        if python and WAITS.isdisjoint((python[-1].name, frames[-1].name)):
            # A function that the collector calls counts as the collector.
            native = next((frame for frame in frames if CALLS.get(frame.name) == GARBAGE), frames[-1])
            profile[CallStack(python, None if native.is_python else native)] += int(samples)
    return profile


def _frame(text: str) -> Frame:
    name, _, rest = text.removesuffix(")").partition(" (")
    file, colon, line = rest.rpartition(":")
    return Frame(name, file, int(line)) if colon and line.isdecimal() else Frame(name, rest)
