"""Who sends a request: what the routes ask, and which buyer an order is for."""

from starlette.types import Scope

from flashsale_core.ids import UserId
from flashsale_gateway.http import bodies
from flashsale_gateway.http.endpoints import peer_of
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.identity.identities import Caller, Identities


def caller_of(scope: Scope, identities: Identities) -> Caller:
    """Raises Unauthenticated, and NotReady while the keys of the identity provider are missing."""
    named = [value for name, value in scope["headers"] if name == identities.header_name]
    return identities.identify(bodies.header(scope, b"authorization"), named, peer_of(scope))


def buyer_of(proven: UserId | None, named: str | None) -> str:
    """The buyer of a request whose body names `named`. Raises Problem if nobody is named, or somebody else than was proven."""
    if proven is None:
        if named is None:
            raise Problem("bad_request", "Name the buyer: nothing else in the request does", field="userId")
        return named
    if named is not None and named != proven:
        raise Problem("identity_mismatch", "Leave it out, or send the buyer who is proven", field="userId")
    return proven
