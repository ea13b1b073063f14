"""Owners of sales: `<namespace>/<name>/<uid>` of a FlashSale, or a name such as `admin`. lua/lib/owner.lua has the same rules.

Nobody owns a sale whose owner is empty, or `<namespace>//`: a FlashSale of that namespace released it, and only those of that namespace
may take it.
"""


def is_released(owner: str) -> bool:
    return not owner or owner.endswith("//")


def namespace_of(owner: str) -> str:
    """The namespace of a resource, also of one that released its sale; empty for every other owner."""
    return owner.partition("/")[0] if "/" in owner else ""
