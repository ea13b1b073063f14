"""The example shop is what a shop can be: it imports the published client, and nothing of the engine."""

import ast
import sys
from pathlib import Path

FILES = sorted((Path(__file__).parents[3] / "examples").rglob("*.py"))
ALLOWED = {"examples", "flashsale_client", "starlette", "standardwebhooks", "uvicorn"} | sys.stdlib_module_names


def imported(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    return {module.partition(".")[0] for module in modules}


def test_shop_imports_nothing_of_the_engine() -> None:
    assert FILES
    assert {str(file): imported(file) - ALLOWED for file in FILES if imported(file) - ALLOWED} == {}
