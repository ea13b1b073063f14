"""The commands and programs of docs/integrate.md work, from its first to its last, on the session's stack."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flashsale_local_stack import Stack
from tests.unit.clients.node import find_node

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrate.md").read_text()
BLOCKS = re.findall(r"^```(sh|python|js)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NODE = find_node()
PROGRAMS = {
    "sh": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-W", "error", "-c"],
    "js": [str(NODE), "--input-type=module", "--eval"],
}
JAVASCRIPT = ROOT / "clients" / "javascript"
BROWSER = """
import {{ signBuyerToken }} from "./token.js";
const send = globalThis.fetch;
globalThis.fetch = (path, request) => send(process.env.FLASHSALE_URL + path, request);
const token = await signBuyerToken(process.env.FLASHSALE_BUYER_TOKEN_KEY, "judy", Math.trunc(Date.now() / 1000) + 600);
const shown = [], show = (title) => {{ throw new Error(title); }};
const sessionStorage = {{}}, location = {{ assign: (path) => shown.push(path) }};
{block}
if (!shown[0]?.startsWith("/o/shoe.")) throw new Error(`the browser is at ${{shown}}`);
if ("click" in sessionStorage) throw new Error("the next click would get this order again");
"""
"""A page with the block, in its own module: Node has no browser's names, and a path leads to the engine."""
COMMAND_SECONDS = 60


def test_page_has_commands_and_programs() -> None:
    assert {kind for kind, _ in BLOCKS} == set(PROGRAMS)


def test_commands_of_the_page_work_one_after_the_other(stack: Stack) -> None:
    for kind, text in BLOCKS:
        if kind == "js" and NODE is None:
            continue
        program = BROWSER.format(block=text) if kind == "js" else text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        done = subprocess.run(
            [*PROGRAMS[kind], program],
            env=os.environ | stack.env(),
            cwd=JAVASCRIPT if kind == "js" else ROOT,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert '"code"' not in done.stdout, f"{text}\n{done.stdout}"


@pytest.mark.parametrize("name", ["paid", "replayed", "refund_due", "undecided", "noted"])
def test_page_explains_every_result_of_a_payment(name: str) -> None:
    assert f"`{name}`" in PAGE
