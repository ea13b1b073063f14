"""The JavaScript clients, by their own tests in Node; their types are those of docs/api."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.clients.node import find_node

ROOT = Path(__file__).parents[3]
NODE = find_node()
needs_node = pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")


@needs_node
@pytest.mark.parametrize("file", ["clients/javascript/buy.test.js", "clients/k6/flashsale.test.js"])
def test_tests_of_the_client_pass(file: str) -> None:
    done = subprocess.run([str(NODE), "--test", file], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\S+ pass [1-9]", done.stdout, re.MULTILINE), done.stdout


@needs_node
def test_failure_of_a_client_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "fails.test.js"
    file.write_text('import { test } from "node:test"; test("fails", () => { throw new Error("it does"); });')
    assert subprocess.run([str(NODE), "--test", str(file)], capture_output=True, timeout=120, check=False).returncode != 0


def test_every_file_of_types_is_exported() -> None:
    folder = ROOT / "clients" / "javascript"
    exports = json.loads((folder / "package.json").read_text())["exports"].values()
    assert {export["types"] for export in exports} == {f"./{file.name}" for file in folder.glob("*.d.ts")}
    assert [path for export in exports for path in export.values() if not (folder / path).is_file()] == []


def test_types_are_those_of_the_documents() -> None:
    command = [sys.executable, "-m", "tools.docs.client_types", "--check"]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0, "run: .venv/bin/python -m tools.docs.client_types"
