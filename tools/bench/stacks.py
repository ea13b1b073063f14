"""What py-spy saw of a process, for tools.bench.flame: folded stacks, whose time they are, and the picture of them."""

import linecache
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from tools.dashboards.theme import BLUE, FAINT, GREEN, GRID, ORANGE, PANEL, PURPLE, RED, TEXT, YELLOW

WAITS = {"poll", "epoll_wait", "epoll_pwait", "_PollLikeSelector.select"}
"""Nobody's time. py-spy leaves out threads that sleep, but its pause wakes them, and on busy cores they are seen on their way back."""
OTHER = "Python and others"
PARTIES: Mapping[str, tuple[str, ...]] = {
    "flashsale": ("flashsale_",),
    "uvicorn": ("uvicorn/",),
    "redis-py": ("redis/",),
    "aio-pika": ("aio_pika/", "aiormq/", "pamqp/"),
    "asyncpg": ("asyncpg/",),
    "uvloop and the event loop": ("uvloop/", "asyncio/"),
}
SOCKETS, GARBAGE = "sockets (system calls)", "garbage collector"
CALLS: Mapping[str, str] = {
    **dict.fromkeys(("read", "write", "writev", "recv", "send", "sendmsg", "accept4", "getsockname", "shutdown", "close"), SOCKETS),
    "gc_collect_main": GARBAGE,
}
COLORS = {
    **dict(zip(PARTIES, (ORANGE, YELLOW, RED, BLUE, GREEN, "#c4a26b"), strict=True)),
    SOCKETS: "#37a2b4",
    GARBAGE: PURPLE,
    OTHER: "#b6bac2",
}
WIDTH_PX, ROW_PX, MARGIN_PX, LETTER_PX, TEXT_PX = 1200, 17, 10, 6.2, 10.3
LEAST_SHARE = 0.002
"""Narrower boxes have no room for a letter and would be most of the file."""
LEGEND_LEAST_SHARE = 0.01


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
        """The file from its package on."""
        return re.sub(r".*/(site-packages|src|lib/python[0-9.]+)/", "", self.file)

    @property
    def party(self) -> str:
        return next((party for party, packages in PARTIES.items() if self.place.startswith(packages)), OTHER)

    @property
    def source(self) -> str:
        return linecache.getline(self.file, self.line).strip() or f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Python's frames from the first call to the last, and the function of C, if any, that the last line was in."""

    frames: tuple[Frame, ...]
    native: Frame | None = None

    @property
    def party(self) -> str:
        """Whose time it was: theirs whose line ran, but for system calls and the garbage collector."""
        return CALLS.get(self.native.name if self.native else "", self.frames[-1].party)


Profile = Mapping[Seen, int]
"""How often each was seen."""


@dataclass(slots=True)
class Box:
    words: str
    color: str
    samples: int = 0
    inside: dict[str, "Box"] = field(default_factory=dict)


def shares(profile: Profile) -> dict[str, float]:
    """Of all samples, the most first."""
    found: Counter[str] = Counter()
    for seen, samples in profile.items():
        found[seen.party] += samples
    return {party: samples / found.total() for party, samples in found.most_common()}


def read(folded: str) -> Profile:
    """Of py-spy's raw format: the frames of a stack with `;` between, and the number of samples."""
    found: Counter[Seen] = Counter()
    for line in folded.splitlines():
        words, _, samples = line.rpartition(" ")
        frames = [_frame(one) for one in words.split(";")]
        python = tuple(frame for frame in frames if frame.is_python)
        if python and WAITS.isdisjoint((python[-1].name, frames[-1].name)):
            # What the collector calls is the collector.
            native = next((frame for frame in frames if CALLS.get(frame.name) == GARBAGE), frames[-1])
            found[Seen(python, None if native.is_python else native)] += int(samples)
    return found


def _frame(words: str) -> Frame:
    name, _, rest = words.removesuffix(")").partition(" (")
    file, colon, line = rest.rpartition(":")
    return Frame(name, file, int(line)) if colon and line.isdecimal() else Frame(name, rest)


def grow(profile: Profile) -> Box:
    """Boxes of functions, whichever line called on; on the last, the line that ran, and what it called in C."""
    root = Box("all", GRID)
    for seen, samples in profile.items():
        box = root
        box.samples += samples
        for frame in seen.frames:
            box = _inside(box, f"{frame.name} ({frame.place})", COLORS[frame.party], samples)
        box = _inside(box, seen.frames[-1].source, PANEL, samples)
        if seen.native:
            words = Path(seen.native.file).name if seen.native.name.startswith("0x") else seen.native.name
            _inside(box, words, COLORS[CALLS.get(seen.native.name, OTHER)], samples)
    return root


def _inside(box: Box, words: str, color: str, samples: int) -> Box:
    found = box.inside.setdefault(words, Box(words, color))
    found.samples += samples
    return found


def draw(profile: Profile, title: str) -> str:
    """An SVG without scripts: the first call at the bottom, the widest to the left, names in full where the mouse stays."""
    root = grow(profile)
    rows = list(_rows(root, 0, 0, LEAST_SHARE * root.samples))
    height_px = ROW_PX * (max(row for _, _, row in rows) + 1) + 70
    scale = (WIDTH_PX - 2 * MARGIN_PX) / root.samples
    boxes = [_svg_box(box, MARGIN_PX + start * scale, height_px - 10 - ROW_PX * (row + 1), scale, root.samples) for box, start, row in rows]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {height_px}" font-family="DejaVu Sans Mono,Menlo,monospace"'
    return "\n".join(
        [
            f'{head} font-size="{TEXT_PX}" fill="{TEXT}">',
            f'<rect width="100%" height="100%" fill="{PANEL}"/>',
            f'<text x="{MARGIN_PX}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
            *_svg_legend(shares(profile)),
            *boxes,
            "</svg>\n",
        ]
    )


def _rows(box: Box, start: int, row: int, least: float) -> Iterator[tuple[Box, int, int]]:
    """Each box with the sample it begins at and its row."""
    yield box, start, row
    for inner in sorted(box.inside.values(), key=lambda one: (-one.samples, one.words)):
        if inner.samples >= least:
            yield from _rows(inner, start, row + 1, least)
        start += inner.samples


def _svg_box(box: Box, x: float, y: float, scale: float, all_samples: int) -> str:
    width = box.samples * scale
    letters = int((width - 4) / LETTER_PX)
    words = box.words if len(box.words) <= letters else f"{box.words[: letters - 1]}…" if letters > 3 else ""
    text = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(words)}</text>' if words else ""
    rect = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW_PX - 1}" fill="{box.color}" stroke="{GRID}" stroke-width=".5"/>'
    return f"<g><title>{escape(box.words)}: {box.samples / all_samples:.1%}</title>{rect}{text}</g>"


def _svg_legend(found: Mapping[str, float]) -> Iterator[str]:
    x = float(MARGIN_PX)
    for party, share in found.items():
        if share < LEGEND_LEAST_SHARE:
            break
        words = f"{party} {share:.0%}"
        yield f'<rect x="{x:.0f}" y="34" width="11" height="11" fill="{COLORS[party]}" stroke="{FAINT}" stroke-width=".5"/>'
        yield f'<text x="{x + 16:.0f}" y="43">{escape(words)}</text>'
        x += 34 + LETTER_PX * len(words)
