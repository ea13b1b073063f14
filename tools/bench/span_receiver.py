"""`python -m tools.bench.span_receiver PORT`: an OTLP/HTTP receiver that counts the spans it receives and drops them.

GET /spans returns the counts by `service.instance.id`.
"""

import json
import sys
from collections import Counter

import uvicorn
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flashsale_gateway.__main__ import UVICORN

_spans: Counter[str] = Counter()


async def count_spans(request: Request) -> Response:
    for of_resource in ExportTraceServiceRequest.FromString(await request.body()).resource_spans:
        names = [attribute.value.string_value for attribute in of_resource.resource.attributes if attribute.key == "service.instance.id"]
        _spans[names[0] if names else ""] += sum(len(of_scope.spans) for of_scope in of_resource.scope_spans)
    return Response(media_type="application/x-protobuf")


async def get_counts(_: Request) -> Response:
    return Response(json.dumps(_spans), media_type="application/json")


application = Starlette(routes=[Route("/v1/traces", count_spans, methods=["POST"]), Route("/spans", get_counts)])

if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), **UVICORN)
