"""The files that pages load. Nothing is loaded from anywhere else."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_console.answers import PageError
from flashsale_console.render import ASSETS

# Their addresses contain a hash, so a browser may keep them.
CACHED = "public, max-age=86400, immutable"


async def show(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise PageError(404, "There is no such file")
    body, media_type = ASSETS[name]
    return Response(body, headers={"cache-control": CACHED}, media_type=media_type)
