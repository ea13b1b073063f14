"""The health check of docs/gitops.md, run as Argo CD runs it: Lua 5.1, with the resource in `obj`."""

import json
import re
from typing import Any

import pytest

from tools.repository import ROOT

(SCRIPT,) = re.findall(r"```lua\n(.*?)```", (ROOT / "docs" / "gitops.md").read_text(), re.DOTALL)


def health(server: Any, generation: int, *conditions: tuple[str, str, str]) -> str:
    status = [
        {"type": kind, "status": status, "reason": reason, "message": f"{kind} {reason}", "observedGeneration": 3}
        for kind, status, reason in conditions
    ]
    resource = {"metadata": {"generation": generation}, **({"status": {"conditions": status}} if status else {})}
    wrapped = f"local obj = cjson.decode(ARGV[1])\nlocal function check()\n{SCRIPT}\nend\nreturn check().status"
    return str(server.eval(wrapped, 0, json.dumps(resource)).decode())


@pytest.mark.parametrize(
    ("generation", "conditions", "wanted"),
    [
        (3, [], "Progressing"),
        (3, [("Ready", "True", "Reconciled"), ("Stalled", "False", "Progressing")], "Healthy"),
        (4, [("Ready", "True", "Reconciled"), ("Stalled", "False", "Progressing")], "Progressing"),
        (3, [("Ready", "False", "NotOwner"), ("Stalled", "True", "NotOwner")], "Degraded"),
        (3, [("Ready", "False", "Recovering"), ("Stalled", "True", "Recovering")], "Progressing"),
        (3, [("Ready", "False", "RedisUnavailable"), ("Stalled", "False", "Progressing")], "Progressing"),
        (3, [("Ready", "False", "Draining"), ("Stalled", "False", "Progressing")], "Progressing"),
    ],
)
def test_argo_cd_sees_the_health_of_a_sale(server: Any, generation: int, conditions: list[tuple[str, str, str]], wanted: str) -> None:
    assert health(server, generation, *conditions) == wanted
