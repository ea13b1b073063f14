"""What the gateway is measured beside: a bare Starlette JSON endpoint on the gateway's uvicorn settings.

It reads the same order, parses it, and answers JSON of the same shape. It checks nothing and keeps nothing.
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flashsale_gateway.__main__ import UVICORN


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


app = Starlette(routes=[Route("/order", order, methods=["POST"])])


def server_config(port: int) -> uvicorn.Config:
    return uvicorn.Config(app, host="127.0.0.1", port=port, **UVICORN)


if __name__ == "__main__":
    uvicorn.Server(server_config(int(sys.argv[1]))).run()
