"""An OpenAPI document's operations as one HTML page that loads nothing else."""

from collections.abc import Sequence
from html import escape

from flashsale_gateway.http.operations import GENERAL_PROBLEMS, Operation
from flashsale_gateway.http.problems import KINDS


def render(operations: Sequence[Operation]) -> str:
    rows = "".join(
        f"<tr><td><code>{o.method.upper()}</code></td><td><code>{escape(o.path)}</code></td><td>{escape(o.summary)}</td>"
        f"<td>{', '.join(map(str, o.answers))}</td><td>{_problems(o.problems)}</td></tr>"
        for o in operations
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>flashsale API</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem}td,th{padding:.4rem .8rem;text-align:left;vertical-align:top;"
        "border-bottom:1px solid #ddd}code{font-size:.9em;white-space:nowrap}</style>"
        "<h1>flashsale API</h1><p>Machine-readable: <a href=openapi.json>openapi.json</a>. "
        "Errors are problem+json (RFC 9457) with a stable <code>code</code>. "
        f"Every operation may also answer {_problems(GENERAL_PROBLEMS)}.</p>"
        f"<table><tr><th>Method<th>Path<th>Purpose<th>Success<th>Problems</tr>{rows}</table></html>"
    )


def _problems(codes: Sequence[str]) -> str:
    return ", ".join(f"<code>{KINDS[code].status} {code}</code>" for code in codes)
