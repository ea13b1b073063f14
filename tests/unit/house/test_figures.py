import ast
from pathlib import Path

import pytest

from tools.house.figures import body_lines, measure, misses, spread
from tools.house.rooms import plan, read_arrows


def function(source: str) -> ast.FunctionDef:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("def f():\n    return 1\n", 1),
        ('def f():\n    """Words."""\n\n    a = 1\n\n    return a\n', 3),
        ('def f():\n    """Words\n    and more."""\n', 0),
    ],
)
def test_body_is_counted_without_its_docstring(source: str, lines: int) -> None:
    assert body_lines(function(source)) == lines


def test_spread_names_whose_the_maximum_is() -> None:
    measured = spread([(size, f"file {size}") for size in range(1, 11)])
    assert (measured.median, measured.p90, measured.most, measured.where) == (5.5, 9, 10, "file 10")


def test_floors_are_the_longest_import_chain() -> None:
    drawn = plan({"app": frozenset({"store", "http"}), "http": frozenset({"store"}), "store": frozenset()})
    assert (drawn.floors, drawn.upward) == (3, ())


def test_arrows_of_a_cycle_are_named_and_its_rooms_share_a_floor() -> None:
    drawn = plan({"app": frozenset({"a"}), "a": frozenset({"b"}), "b": frozenset({"a", "c"}), "c": frozenset()})
    assert (drawn.floors, drawn.upward) == (3, ("a -> b", "b -> a"))


def test_rooms_are_modules_and_packages_and_not_the_doors(tmp_path: Path) -> None:
    package = tmp_path / "shop"
    (package / "http").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "http" / "__init__.py").touch()
    (package / "http" / "routes.py").write_text("from shop import store\nfrom shop.http import other\n")
    (package / "store.py").write_text("import json\n")
    (package / "app.py").write_text("import shop.store\nfrom shop.http.routes import x\n")
    assert read_arrows(package) == {"app": {"store", "http"}, "http": {"store"}, "store": set()}


def test_every_return_of_product_code_is_annotated() -> None:
    assert [line for line in misses(measure(Path(__file__).parents[3])) if "annotated" in line] == []
