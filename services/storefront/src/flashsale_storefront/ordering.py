"""Who can order on the page, by how buyers prove to the gateway who they are. Pure."""

from enum import StrEnum


class Ordering(StrEnum):
    ANYBODY = "anybody"
    """The page sends the order of whoever clicks: in the demo, behind a proxy that names the buyer, or if the modes are not known."""
    SIGNED_IN = "signed-in"
    """Buyers with a token of the shop or of its identity provider."""
    NOBODY = "nobody"
    """No browser can prove who buys, so the shop's backend orders for its buyers."""


def ordering_of(modes: str) -> Ordering:
    """`modes` as in FLASHSALE_IDENTITY of the gateway; empty if they are not known."""
    names = {name.strip() for name in modes.split(",") if name.strip()}
    if not names or "header" in names:
        return Ordering.ANYBODY
    # A page that is no demo sends no buyer's name, which the mode body would need.
    return Ordering.SIGNED_IN if names & {"token", "jwt"} else Ordering.NOBODY
