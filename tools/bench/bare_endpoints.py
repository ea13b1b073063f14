"""`python -m tools.bench.bare_endpoints NAME PORT`: what the gateway is compared with, on the gateway's uvicorn settings.

`starlette` is a bare Starlette JSON endpoint, `raw` the same as a plain ASGI application.
Both read the same order, parse it, and answer JSON of the same shape. They check nothing and store nothing.
"""

import json
import sys

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from flashsale_gateway.__main__ import UVICORN

_decode = msgspec.json.Decoder().decode


async def order(request: Request) -> JSONResponse:
    body = await request.json()
    answer = {
        "status": "success",
        "orderId": f"{body['productId']}.aaaaaaaaaaaaaaaaaaaa",
        "state": "reserved",
        "productId": body["productId"],
        "quantity": body["quantity"],
        "expiresAt": "2026-01-01T00:00:00.000Z",
    }
    return JSONResponse(answer)


starlette = Starlette(routes=[Route("/order", order, methods=["POST"])])


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """The least that an ASGI application can do with an order."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    asked = _decode(body or b'{"productId":"","quantity":0}')
    answer = (
        f'{{"status":"success","orderId":"{asked["productId"]}.aaaaaaaaaaaaaaaaaaaa","state":"reserved",'
        f'"productId":{json.dumps(asked["productId"])},"quantity":{asked["quantity"]},"expiresAt":"2026-01-01T00:00:00.000Z"}}'
    ).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


APPLICATIONS = {"starlette": starlette, "raw": raw}


def server_config(name: str, port: int) -> uvicorn.Config:
    lifespan = "on" if name == "starlette" else "off"
    return uvicorn.Config(APPLICATIONS[name], host="127.0.0.1", port=port, lifespan=lifespan, **UVICORN)  # type: ignore[arg-type]


if __name__ == "__main__":
    uvicorn.Server(server_config(sys.argv[1], int(sys.argv[2]))).run()
