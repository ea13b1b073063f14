"""Sizes of modules and functions, annotations, and rooms: `python -m tools.house.figures`; with `--check` it exits with 1 past a limit.

Product code is libs/*/src, services/*/src and cli/src. A module's lines are all lines of its file. A function's body is counted from its
first statement after the docstring to its last line, comments, blank lines and nested functions included. p90 is the nearest rank.
"""

import argparse
import ast
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.house import rooms

PATTERNS = ("libs/*/src/**/*.py", "services/*/src/**/*.py", "cli/src/**/*.py")
GATEWAY = Path("services/gateway/src/flashsale_gateway")
# Limits: the figures of the code when they were set. Do not raise one; divide the module or the function instead.
MODULE_LINES = (74, 177, 334)
BODY_LINES = (4, 12, 48)
ANNOTATED_PERCENT = 100.0
FLOORS = 9
UPWARD_ARROWS = 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 90th percentile and maximum of a number of lines."""

    median: float
    p90: int
    most: int
    where: str
    """The module or function with the maximum."""


@dataclass(frozen=True, slots=True)
class Figures:
    modules: Spread
    bodies: Spread
    annotated_percent: float
    gateway: rooms.Plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.house.figures", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout to be measured; this folder")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a limit is exceeded")
    options = parser.parse_args()
    figures = measure(options.root)
    missed = misses(figures)
    print("\n".join((*render(figures), *(f"missed: {line}" for line in missed))))
    return int(options.check and bool(missed))


def measure(root: Path) -> Figures:
    sources = {str(path.relative_to(root)): path.read_text() for pattern in PATTERNS for path in sorted(root.glob(pattern))}
    functions = [(f"{file}:{node.lineno}", node) for file, text in sources.items() for node in _functions(ast.parse(text))]
    annotated = sum(node.returns is not None for _, node in functions)
    return Figures(
        spread([(len(text.splitlines()), file) for file, text in sources.items()]),
        spread([(body_lines(node), where) for where, node in functions]),
        100 * annotated / len(functions),
        rooms.plan(rooms.read_arrows(root / GATEWAY)),
    )


def misses(figures: Figures) -> list[str]:
    """The figures that are past their limits, one line each."""
    lines = [
        *_past("module lines", figures.modules, MODULE_LINES),
        *_past("function body lines", figures.bodies, BODY_LINES),
    ]
    if figures.annotated_percent < ANNOTATED_PERCENT:
        lines.append(f"annotated returns {figures.annotated_percent:.2f} % (limit {ANNOTATED_PERCENT:g} %)")
    if figures.gateway.floors > FLOORS:
        lines.append(f"gateway floors {figures.gateway.floors} (limit {FLOORS})")
    if len(figures.gateway.upward) > UPWARD_ARROWS:
        lines.append(f"gateway arrows in cycles {len(figures.gateway.upward)} (limit {UPWARD_ARROWS})")
    return lines


def render(figures: Figures) -> list[str]:
    gateway, cycles = figures.gateway, len(figures.gateway.upward)
    return [
        _row("module lines", figures.modules, MODULE_LINES),
        _row("function body lines", figures.bodies, BODY_LINES),
        f"annotated returns    {figures.annotated_percent:.2f} %",
        f"gateway              {gateway.rooms} rooms, {gateway.arrows} arrows, {gateway.floors} floors, {cycles} arrows in cycles",
        *(f"  in a cycle: {arrow}" for arrow in gateway.upward),
    ]


def spread(sizes: Sequence[tuple[int, str]]) -> Spread:
    ordered = sorted(sizes)
    most, where = ordered[-1]
    return Spread(statistics.median(size for size, _ in ordered), ordered[math.ceil(0.9 * len(ordered)) - 1][0], most, where)


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """0 when there is nothing but a docstring."""
    statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or node.lineno) - statements[0].lineno + 1 if statements else 0


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _past(what: str, measured: Spread, bars: tuple[int, int, int]) -> Iterator[str]:
    named = zip(("median", "p90", "max"), (measured.median, measured.p90, measured.most), bars, strict=True)
    return (f"{what} {name} {value:g} (limit {bar})" for name, value, bar in named if value > bar)


def _row(what: str, measured: Spread, bars: tuple[int, int, int]) -> str:
    numbers = f"median {measured.median:g}, p90 {measured.p90}, max {measured.most} ({measured.where})"
    return f"{what:<20} {numbers}; bars {', '.join(map(str, bars))}"


if __name__ == "__main__":
    sys.exit(main())
