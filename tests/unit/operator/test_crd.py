"""The FlashSale's CustomResourceDefinition explains itself: `kubectl explain` has a sentence for every field."""

from collections.abc import Iterator
from typing import Any

import yaml

from tools.repository import CHART

CRD = yaml.safe_load((CHART / "files" / "flashsales.flashsale.dev.yaml").read_text())


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below `schema`, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from fields(child, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], f"{path}[]")


def schemas() -> list[tuple[str, dict[str, Any]]]:
    # The apiserver describes the metadata of every resource itself.
    return [
        (path, schema)
        for version in CRD["spec"]["versions"]
        for path, schema in fields(version["schema"]["openAPIV3Schema"], version["name"])
        if not path.endswith(".metadata")
    ]


def test_every_field_is_described() -> None:
    assert len(schemas()) > 30
    assert [path for path, schema in schemas() if not schema.get("description", "").endswith(".")] == []


def test_payment_window_has_no_default_that_may_not_be_installed() -> None:
    assert [path for path, schema in schemas() if path.endswith("paymentWindowSeconds") and "default" in schema] == []


def test_every_text_of_the_status_is_bounded() -> None:
    texts = [(path, schema) for path, schema in schemas() if ".status" in path and schema["type"] == "string"]
    assert [path for path, schema in texts if not schema.keys() & {"maxLength", "enum", "format"}] == []
