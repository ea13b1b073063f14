"""The OpenAPI documents in docs/api are those of the code, and only add to those of the last release (decision 0052)."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tools.api.changes import breaks
from tools.docs.openapi import DOCUMENTS, FOLDER, RELEASED
from tools.repository import ROOT

POLICY = (
    "a client of the last release breaks. Add instead of changing (docs/decisions/0052-versions-of-the-api.md). "
    "Only a release rewrites docs/api/released: .venv/bin/python -m tools.docs.openapi --release "
    "(while none is published, an intended change rewrites it as well)"
)


def read(folder: Any, name: str) -> Any:
    return json.loads((folder / name).read_text())


def test_documents_are_those_of_the_code() -> None:
    command = [sys.executable, "-m", "tools.docs.openapi", "--check"]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0, "run: .venv/bin/python -m tools.docs.openapi"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_only_add_to_those_of_the_last_release(name: str) -> None:
    assert breaks(read(RELEASED, name), read(FOLDER, name)) == [], POLICY


@pytest.mark.parametrize("name", DOCUMENTS)
def test_baseline_has_the_whole_api_until_the_first_release(name: str) -> None:
    """What it lacks could be removed unnoticed."""
    is_released = re.search(r"(?m)^## \[?\d", (ROOT / "CHANGELOG.md").read_text()) is not None
    lacking = breaks(read(FOLDER, name), read(RELEASED, name))
    assert is_released or lacking == [], "run: .venv/bin/python -m tools.docs.openapi --release"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_removal_from_a_document_is_noticed(name: str) -> None:
    released = read(RELEASED, name)
    for path, item in released["paths"].items():
        for method in item:
            document = read(FOLDER, name)
            del document["paths"][path][method]
            assert breaks(released, document) == [f"{method.upper()} {path}: the operation is gone"]
