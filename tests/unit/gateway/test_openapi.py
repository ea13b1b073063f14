from flashsale_gateway import orders, payments
from flashsale_gateway.http import openapi
from flashsale_gateway.http.operations import OPERATIONS
from flashsale_gateway.http.problems import KINDS
from flashsale_gateway.http.routes import ROUTES

DOCUMENT = openapi.document(100, (5, 300))


def test_document_contains_exactly_the_routes() -> None:
    served = {(method.lower(), route.path) for route in ROUTES for method in route.methods or () if method != "HEAD"}
    named = {("{order_id}", "{orderId}"), ("{sale_id}", "{productId}")}
    for inside, outside in named:
        served = {(method, path.replace(inside, outside)) for method, path in served}
    described = {(method, path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == served | {("post", orders.PATH), ("post", payments.PATH)}


def test_every_problem_is_documented_or_general() -> None:
    general = {"not_found", "method_not_allowed", "head_too_large", "internal"}
    documented = {code for operation in OPERATIONS for code in operation.problems}
    assert documented == set(KINDS) - general


def test_every_reference_resolves() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    text = str(DOCUMENT)
    for part in text.split("#/components/schemas/")[1:]:
        assert part.split("'")[0] in schemas


def test_document_contains_the_limits_of_the_installation() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["OrderRequest"]["properties"]["quantity"]["maximum"] == 100
    window = schemas["StockRequest"]["properties"]["paymentWindowSeconds"]
    assert (window["enum"], window["description"]) == ([5, 300], "Default for a new sale: 300")


def test_page_names_every_operation() -> None:
    assert all(operation.path in openapi.page() for operation in OPERATIONS)
