import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flashsale_core import scripts
from flashsale_core.errors import SettingsError
from flashsale_core.scripts import Script, call, read_scripts

LUA = Path(__file__).parents[3] / "lua"


def test_every_script_is_read_whole() -> None:
    for script in read_scripts(LUA):
        assert "@include" not in script.source
        assert script.sha == hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()


def test_missing_script_or_library_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"FLASHSALE_LUA_DIR.*reserve\.lua"):
        read_scripts(tmp_path)
    for name in scripts.NAMES:
        (tmp_path / f"{name}.lua").write_text("-- @include lib/gone.lua\n")
    with pytest.raises(SettingsError, match=r"gone\.lua"):
        read_scripts(tmp_path)


class NoScriptError(Exception):
    pass


class Server:
    """Answers EVAL, and EVALSHA once it has the source; or raises the error that the test has set."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.failure = failure

    async def execute_command(self, *args: Any, **_: Any) -> bytes:
        self.calls.append(args[0])
        if args[0] == "EVALSHA" and self.failure:
            raise self.failure
        return msgspec.msgpack.encode([1, ["ok"]])


SCRIPT = Script("x", "return 1", "sha")


async def test_forgotten_script_is_sent_once_more() -> None:
    server = Server(NoScriptError("NOSCRIPT No matching script"))
    assert await call(server, SCRIPT, ["k"], "a") == [1, ["ok"]]
    assert server.calls == ["EVALSHA", "EVAL"]


async def test_every_other_failure_reaches_the_caller() -> None:
    server = Server(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await call(server, SCRIPT, ["k"], "a")
    assert server.calls == ["EVALSHA"]
