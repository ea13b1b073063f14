"""The bench of the fence takes the fence out of the script that gateways run."""

from pathlib import Path

import pytest

from flashsale_core.scripts import Script, read_script
from tools.bench.fence import without_fence
from tools.repository import ROOT


def test_reserve_runs_without_its_fence() -> None:
    reserve = read_script(Path(ROOT) / "lua", "reserve")
    bare = without_fence(reserve)
    assert bare.source.count("HINCRBY', fence_key") == reserve.source.count("HINCRBY', fence_key") - 1
    assert bare.sha != reserve.sha


def test_fence_that_has_changed_is_named() -> None:
    with pytest.raises(RuntimeError, match="change CHECK and POSITION"):
        without_fence(Script("reserve", "return 1", ""))
