import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flashsale_gateway import orders, payments
from flashsale_gateway.http import openapi
from flashsale_gateway.http.examples import EXAMPLES
from flashsale_gateway.http.operations import GENERAL_PROBLEMS, OPERATIONS, Audience
from flashsale_gateway.http.ports import is_for_administration, is_for_buyers
from flashsale_gateway.http.problems import KINDS
from flashsale_gateway.http.routes import ROUTES

OPENAPI_3_1 = json.loads((Path(__file__).parents[1] / "api" / "schemas" / "openapi-3.1.json").read_text())
DOCUMENTS = {audience: openapi.document(audience, 100, (5, 300)) for audience in Audience}
SHOPS, ADMINISTRATION = DOCUMENTS[Audience.SHOPS], DOCUMENTS[Audience.ADMINISTRATION]


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """(method, path, operation)"""
    return ((method, path, operation) for path, item in document["paths"].items() for method, operation in item.items())


def schema(document: Any, name: str) -> Any:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_documents_contain_exactly_the_routes() -> None:
    served = {(method.lower(), route.path) for route in ROUTES for method in route.methods or () if method != "HEAD"}
    named = {("{order_id}", "{orderId}"), ("{sale_id}", "{productId}")}
    for inside, outside in named:
        served = {(method, path.replace(inside, outside)) for method, path in served}
    described = {(method, path) for document in DOCUMENTS.values() for method, path, _ in operations(document)}
    assert described == served | {("post", orders.PATH), ("post", payments.PATH)}


@pytest.mark.parametrize("audience", Audience)
def test_document_is_valid_by_the_published_schema(audience: Audience) -> None:
    jsonschema.validate(DOCUMENTS[audience], OPENAPI_3_1)


def test_published_schema_refuses_an_answer_without_a_description() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SHOPS | {"paths": {"/order": {"post": {"responses": {"200": {}}}}}}, OPENAPI_3_1)


def test_each_document_has_the_paths_that_its_port_serves() -> None:
    """With an admin port, a path of the other document is answered with 404."""
    assert [path for path in SHOPS["paths"] if not is_for_buyers(path)] == []
    assert [path for path in ADMINISTRATION["paths"] if not is_for_administration(path)] == []


def test_operation_ids_are_unique_names_of_functions() -> None:
    ids = [operation.operation_id for operation in OPERATIONS]
    assert (len(set(ids)), all(name.isalpha() and name[0].islower() for name in ids)) == (len(ids), True)


def test_every_problem_is_documented_or_of_no_operation() -> None:
    documented = {code for operation in OPERATIONS for code in operation.problems} | set(GENERAL_PROBLEMS)
    assert documented == set(KINDS) - {"method_not_allowed", "origin_not_allowed"}


def test_answers_of_an_operation_list_their_problem_codes() -> None:
    content = SHOPS["paths"]["/order"]["post"]["responses"]["503"]["content"]["application/problem+json"]
    codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    assert (codes[0], set(content["examples"])) == ("outbox_lag", set(codes))
    assert content["examples"]["outbox_lag"]["value"]["status"] == 503


def test_every_reference_resolves() -> None:
    for document in DOCUMENTS.values():
        for part in str(document).split("#/components/schemas/")[1:]:
            assert part.split("'")[0] in document["components"]["schemas"]


@pytest.mark.parametrize("kind", EXAMPLES, ids=[kind.__name__ for kind in EXAMPLES])
def test_example_fits_its_schema(kind: type) -> None:
    documents = [document for document in DOCUMENTS.values() if kind.__name__ in document["components"]["schemas"]]
    assert documents
    for document in documents:
        jsonschema.validate(EXAMPLES[kind], schema(document, kind.__name__))


def test_every_body_has_an_example() -> None:
    without = {
        name
        for document in DOCUMENTS.values()
        for name, described in document["components"]["schemas"].items()
        if "examples" not in described
    }
    assert without == {"PaymentData", "Price", "ProblemDocument", "RateLimit", "RefundData"}


def test_document_contains_the_limits_of_the_installation() -> None:
    assert SHOPS["components"]["schemas"]["OrderRequest"]["properties"]["quantity"]["maximum"] == 100
    window = ADMINISTRATION["components"]["schemas"]["StockRequest"]["properties"]["paymentWindowSeconds"]
    assert (window["enum"], window["description"]) == ([5, 300], "Default for a new sale: 300")


@pytest.mark.parametrize("audience", Audience)
def test_page_names_every_operation_of_its_audience(audience: Audience) -> None:
    page = openapi.page(audience)
    assert [operation.path for operation in OPERATIONS if (f"<code>{operation.path}<" in page) != (audience in operation.audiences)] == []
