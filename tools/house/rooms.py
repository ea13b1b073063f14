"""The rooms of a package and the imports between them. Pure, except that it reads the files.

A room is a module or a package at the top of the package. An arrow is a pair of rooms: the first imports the second.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Arrows = Mapping[str, frozenset[str]]
"""Room -> the rooms that it imports. Every room is a key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Figures of the rooms of a package."""

    rooms: int
    arrows: int
    floors: int
    """Rooms on the longest import chain; rooms that import each other share a floor."""
    upward: tuple[str, ...]
    """Arrows inside a cycle, as `a -> b`: one of them points upward, wherever the cycle is cut."""


def read_arrows(package: Path) -> Arrows:
    """Without `__init__` and `__main__`, which may import every room."""
    rooms = {path.stem for path in package.iterdir() if _is_room(path)}
    return {room: frozenset(_imported(package, room) & rooms - {room}) for room in sorted(rooms)}


def plan(arrows: Arrows) -> Plan:
    reach = {room: _reachable(room, arrows) for room in arrows}
    upward = [f"{room} -> {other}" for room in arrows for other in sorted(arrows[room]) if room in reach[other]]
    return Plan(len(arrows), sum(map(len, arrows.values())), _floors(arrows, reach), tuple(upward))


def _is_room(path: Path) -> bool:
    return (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists()


def _imported(package: Path, room: str) -> set[str]:
    folder = package / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    names = {name for file in files for name in _absolute_imports(ast.parse(file.read_text()))}
    prefix = f"{package.name}."
    return {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}


def _absolute_imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _reachable(room: str, arrows: Arrows) -> frozenset[str]:
    """The rooms that can be reached by one arrow or more."""
    reached: set[str] = set()
    waiting = list(arrows[room])
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting.extend(arrows[other])
    return frozenset(reached)


def _floors(arrows: Arrows, reach: Mapping[str, frozenset[str]]) -> int:
    """The number of floors. A room is one floor above the highest room that it reaches, unless that room reaches it as well."""
    floor: dict[str, int] = {}
    for room in sorted(arrows, key=lambda room: len(reach[room] | {room})):
        below = [floor[other] for other in reach[room] if room not in reach[other]]
        floor[room] = 1 + max(below, default=0)
    return max(floor.values(), default=0)
