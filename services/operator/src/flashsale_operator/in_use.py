"""Which FlashSales an uninstall would take away from buyers or from merchants. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from flashsale_operator.conditions import Phase

NAMED_MAX = 20
"""Sales that a sentence names. There may be ten thousand."""
FINISHED = (Phase.ENDED, Phase.SOLD_OUT)


def use_of(body: Mapping[str, Any]) -> str:
    """What buyers or merchants still expect of the sale, in words; "" if it is finished, deleted, or was never loaded."""
    status = body.get("status") or {}
    stock, phase = status.get("stock") or {}, status.get("phase", "")
    reserved, available = int(stock.get("reserved", 0)), int(stock.get("available", 0))
    if reserved:
        return f"{phase or 'no phase'}, {reserved} units reserved"
    if body["metadata"].get("deletionTimestamp") or phase in FINISHED:
        return ""
    if phase == Phase.STALLED and not available:
        return ""
    return f"{phase or 'not yet loaded'}, {available} units available"


def in_use(bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """namespace/name -> `use_of`, of the FlashSales that are in use."""
    uses = {name_of(body): use_of(body) for body in bodies}
    return {name: use for name, use in uses.items() if use}


def name_of(body: Mapping[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def refusal(uses: Mapping[str, str]) -> str:
    """The sentence with which an uninstall is refused."""
    named = ", ".join(f"{name} ({use})" for name, use in list(uses.items())[:NAMED_MAX])
    further = f" and {len(uses) - NAMED_MAX} more" if len(uses) > NAMED_MAX else ""
    return (
        f"FlashSales that are live or have units reserved ({len(uses)}): {named}{further}. Nothing was changed. Delete them and wait until "
        "they are gone, or allow their end with `helm upgrade --reuse-values --set cleanup.force=true`; then uninstall again. "
        "Helm 4 upgrades only after `helm rollback` to the present revision, which `helm history` names"
    )
