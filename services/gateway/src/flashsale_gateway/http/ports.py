"""Which paths a gateway serves on which port, if it has a port of its own for administration. Pure."""

ADMINISTRATION = ("/admin", "/metrics")
"""With an admin port, these are served there and nowhere else."""
PROBES = ("/healthz", "/readyz")
"""Served on both ports: a load balancer checks the port that it sends buyers to."""
INTERNAL_PATHS = (*PROBES, *ADMINISTRATION)
"""Paths for operators and probes."""
PAGE_PATHS = frozenset({"/order", "/orders", "/session", "/sales", "/openapi.json"})
"""Paths that pages of other origins may call, and what is below them."""


def internal_path(path: str) -> str:
    """The member of INTERNAL_PATHS that `path` belongs to, or "" if it is a path for buyers."""
    first = "/admin" if path.startswith("/admin/") else path
    return first if first in INTERNAL_PATHS else ""


def is_for_pages(path: str) -> bool:
    """Whether a page of another origin may call the path. Those of administrators, probes and payment providers are not for browsers."""
    return "/".join(path.split("/", 2)[:2]) in PAGE_PATHS


def is_for_buyers(path: str) -> bool:
    """Whether the port of the buyers serves the path while there is an admin port."""
    return internal_path(path) not in ADMINISTRATION


def is_for_administration(path: str) -> bool:
    """Whether the admin port serves the path."""
    return internal_path(path) != ""
