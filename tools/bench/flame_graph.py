"""A flame graph as SVG without scripts, drawn from a CPU profile. Pure, but for reading the source lines that ran."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from tools.bench.profiles import CALLS, GARBAGE, OTHER, PARTIES, SOCKETS, Profile, shares
from tools.dashboards.theme import BLUE, FAINT, GREEN, GRID, ORANGE, PANEL, PURPLE, RED, TEXT, YELLOW

COLORS = {
    **dict(zip(PARTIES, (ORANGE, YELLOW, RED, BLUE, GREEN, "#c4a26b"), strict=True)),
    SOCKETS: "#37a2b4",
    GARBAGE: PURPLE,
    OTHER: "#b6bac2",
}
WIDTH_PX, ROW_PX, MARGIN_PX, LETTER_PX, TEXT_PX = 1200, 17, 10, 6.2, 10.3
SHARE_MIN = 0.002
"""Narrower boxes have no room for a letter, and would be most of the file."""
LEGEND_SHARE_MIN = 0.01


@dataclass(slots=True)
class Box:
    words: str
    color: str
    samples: int = 0
    inside: dict[str, "Box"] = field(default_factory=dict)


def build_boxes(profile: Profile) -> Box:
    """A box for each function, whichever line calls the next. Above the last function: the line that ran, and the C function it called."""
    root = Box("all", GRID)
    for stack, samples in profile.items():
        box = root
        box.samples += samples
        for frame in stack.frames:
            box = _count_inside(box, f"{frame.name} ({frame.place})", COLORS[frame.party], samples)
        box = _count_inside(box, stack.frames[-1].source, PANEL, samples)
        if stack.native:
            words = Path(stack.native.file).name if stack.native.name.startswith("0x") else stack.native.name
            _count_inside(box, words, COLORS[CALLS.get(stack.native.name, OTHER)], samples)
    return root


def _count_inside(box: Box, words: str, color: str, samples: int) -> Box:
    inner = box.inside.setdefault(words, Box(words, color))
    inner.samples += samples
    return inner


def draw(profile: Profile, title: str) -> str:
    """The SVG: the first call at the bottom, the widest box to the left, the full name of a box as its tooltip."""
    root = build_boxes(profile)
    rows = list(_rows(root, 0, 0, SHARE_MIN * root.samples))
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


def _rows(box: Box, start: int, row: int, samples_min: float) -> Iterator[tuple[Box, int, int]]:
    """(box, the sample it begins at, its row)"""
    yield box, start, row
    for inner in sorted(box.inside.values(), key=lambda inner: (-inner.samples, inner.words)):
        if inner.samples >= samples_min:
            yield from _rows(inner, start, row + 1, samples_min)
        start += inner.samples


def _svg_box(box: Box, x: float, y: float, scale: float, all_samples: int) -> str:
    width = box.samples * scale
    letters = int((width - 4) / LETTER_PX)
    words = box.words if len(box.words) <= letters else f"{box.words[: letters - 1]}…" if letters > 3 else ""
    text = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(words)}</text>' if words else ""
    rect = f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW_PX - 1}" fill="{box.color}" stroke="{GRID}" stroke-width=".5"/>'
    return f"<g><title>{escape(box.words)}: {box.samples / all_samples:.1%}</title>{rect}{text}</g>"


def _svg_legend(shares_of: Mapping[str, float]) -> Iterator[str]:
    x = float(MARGIN_PX)
    for party, share in shares_of.items():
        if share < LEGEND_SHARE_MIN:
            break
        words = f"{party} {share:.0%}"
        yield f'<rect x="{x:.0f}" y="34" width="11" height="11" fill="{COLORS[party]}" stroke="{FAINT}" stroke-width=".5"/>'
        yield f'<text x="{x + 16:.0f}" y="43">{escape(words)}</text>'
        x += 34 + LETTER_PX * len(words)
