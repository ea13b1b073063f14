"""Names that stand in the source text only: literals of the Python code, by syntax tree, and quoted words of the Lua scripts."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.unit.frozen.places import LUA, SOURCES

_LOG_METHODS = ("debug", "info", "warning", "error", "exception", "critical")
_LUA_WORD = re.compile(r"'([A-Za-z0-9_#.:|{}-]+)'")


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    files = sorted(file for folder in SOURCES for file in folder.rglob("*.py"))
    return [(file, ast.parse(file.read_text())) for file in files]


def literals(package: str = "") -> set[str]:
    """Every string or bytes literal of product code, docstrings and pieces of f-strings included; of one package if it is named.

    `__all__` lists names of Python, so its strings are left out.
    """
    found = set()
    for file, tree in trees():
        if package and package not in file.parts:
            continue
        exported = {id(part) for node in tree.body if _is_export_list(node) for part in ast.walk(node)}
        for node in ast.walk(tree):
            match node:
                case ast.Constant() if id(node) in exported:
                    continue
                case ast.Constant(value=str(text)):
                    found.add(text)
                case ast.Constant(value=bytes(raw)):
                    found.add(raw.decode("latin-1"))
    return found


def matching(pattern: str, package: str = "") -> set[str]:
    """The literals that match as a whole."""
    return {text for text in literals(package) if re.fullmatch(pattern, text)}


def log_events() -> Iterator[str]:
    """`event level field...` of every log call."""
    for call, method in _calls():
        if method in _LOG_METHODS and call.args and _is_log(call.func):
            event = _text(call.args[0])
            if event is not None:
                yield " ".join((event, method, *_extra(call)))


def started_names() -> set[str]:
    """Literals that come first in `start(...)`: names of supervised tasks, which label a metric, and of spans."""
    return {text for call, method in _calls() if method == "start" for text in _texts(call.args[:1])}


def lua_words() -> set[str]:
    """Quoted single words of the scripts: Redis' commands, fields of hashes and messages, states and answers."""
    code = [re.sub(r"--\[\[.*?\]\]|--[^\n]*", "", file.read_text(), flags=re.DOTALL) for file in sorted(LUA.rglob("*.lua"))]
    return {word for text in code for word in _LUA_WORD.findall(text)}


def _is_export_list(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]


def _calls() -> Iterator[tuple[ast.Call, str]]:
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield node, node.func.attr


def _is_log(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in ("log", "logger")


def _texts(arguments: Iterable[ast.expr]) -> Iterator[str]:
    yield from (text for argument in arguments if (text := _text(argument)) is not None)


def _text(node: ast.expr) -> str | None:
    """A literal as it is; an f-string with `{}` for what varies; None for anything else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or "{}" for part in parts)
        case _:
            return None


def _extra(call: ast.Call) -> list[str]:
    """The fields of `extra=`; `...` where they are not spelled out."""
    for keyword in call.keywords:
        if keyword.arg == "extra":
            keys = keyword.value.keys if isinstance(keyword.value, ast.Dict) else [None]
            return sorted((key is not None and _text(key)) or "..." for key in keys)
    return []
