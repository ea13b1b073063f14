"""Each script's header compared with its code: what is documented is used, and what is used is documented."""

import re
from pathlib import Path

import pytest

from flashsale_core.scripts import read_script
from tests.lua.servers import FENCED, UNFENCED

LUA = Path(__file__).parents[2] / "lua"
SCRIPTS = sorted(LUA.glob("*.lua"))
LIBRARIES = sorted((LUA / "lib").glob("*.lua"))
# Every command is in Redis 7.0 and in Valkey 8 (https://redis.io/docs/latest/commands/, "Available since").
READING = {"TIME", "INFO", "TYPE", "HGET", "HMGET", "HGETALL", "HLEN", "HSCAN", "SCARD", "XRANGE", "XINFO", "XLEN", "ZCARD", "ZMSCORE"}
WRITING = {"HSET", "HSETNX", "HINCRBY", "HDEL", "PEXPIRE", "UNLINK", "ZADD", "ZREM", "XADD", "XDEL", "XGROUP", "SADD", "SREM"}


def parts(path: Path) -> tuple[str, str]:
    """(header, code)"""
    match = re.match(r"#!lua(?: flags=allow-oom)?\n--\[\[\n(.*?)\]\]\n(.*)", path.read_text(), re.DOTALL)
    assert match, f"{path.name} has no header"
    return match[1], match[2]


def numbered(header: str, section: str) -> dict[str, str]:
    """`+1` is the first key of each sale, in a script that is called for several sales."""
    text = re.search(rf"^{section}:.*\n((?:  .*\n)+)", header, re.MULTILINE)
    assert text, f"no {section} section"
    return dict(re.findall(r"^  (\+?\d+) (\w+)", text[1], re.MULTILINE))


def commands(text: str) -> set[str]:
    return set(re.findall(r"redis\.p?call\('(\w+)'", text))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_header_has_its_parts_in_order(path: Path) -> None:
    header, _ = parts(path)
    assert re.findall(r"^(Purpose|KEYS|ARGV|Returns):", header, re.MULTILINE) == ["Purpose", "KEYS", "ARGV", "Returns"]


@pytest.mark.parametrize("section", ["KEYS", "ARGV"])
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_documented_and_used_arguments_are_the_same(path: Path, section: str) -> None:
    header, code = parts(path)
    once, of_each = set(re.findall(rf"{section}\[(\d+)\]", code)), set(re.findall(rf"{section}\[keys_at \+ (\d+)\]", code))
    used = [str(number + 1) for number in range(len(once))] + [f"+{number + 1}" for number in range(len(of_each))]
    assert set(numbered(header, section)) == {*once, *(f"+{number}" for number in of_each)} == set(used)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_each_sale_has_the_documented_number_of_keys(path: Path) -> None:
    header, code = parts(path)
    keys = numbered(header, "KEYS")
    of_each = sum(key.startswith("+") for key in keys)
    assert re.findall(r"KEYS_BEFORE, KEYS_EACH = (\d+), (\d+)", code) == ([(str(len(keys) - of_each), str(of_each))] if of_each else [])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_word_of_returns_can_be_returned(path: Path) -> None:
    header, code = parts(path)
    words = re.findall(r"^  (?:status|result): (.*)$", header, re.MULTILINE)
    assert words, "Returns names no status or result"
    for word in words[0].split():
        # A paused or closed sale is refused by the name of its state.
        assert f"'{word}'" in code or (path.stem == "reserve" and word in {"paused", "closed"}), word


@pytest.mark.parametrize("path", [*SCRIPTS, *LIBRARIES], ids=lambda path: path.stem)
def test_script_uses_known_commands_and_only_keys_it_is_given(path: Path) -> None:
    text = path.read_text()
    assert commands(text) <= READING | WRITING
    assert len(re.findall(r"redis\.p?call\b", text)) == len(re.findall(r"redis\.p?call\('", text))
    assert "fs:" not in text


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script_that_writes_asks_the_fence_or_is_a_named_exception(path: Path) -> None:
    writes = bool(commands(read_script(LUA, path.stem).source) & WRITING)
    assert (path.stem in FENCED) + (path.stem in UNFENCED) == writes


@pytest.mark.parametrize("path", LIBRARIES, ids=lambda path: path.stem)
def test_library_begins_with_its_purpose(path: Path) -> None:
    assert path.read_text().startswith("-- ")
