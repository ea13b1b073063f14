"""Which FlashSales this operator serves. Pure.

A FlashSale belongs to an engine by `spec.engine`, and to one installation by `status.controllerName`: the first that claims it, because its
sale is in that installation's Redis. Everything about the FlashSales of others is left alone.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

ENGINE_DEFAULT = "flashsale"


@dataclass(frozen=True, slots=True)
class Engine:
    name: str
    """Serves the FlashSales whose spec.engine is this."""
    is_default: bool
    """Also serves the FlashSales without spec.engine."""
    controller: str
    """The installation's name, as it is written into status.controllerName."""

    def serves(self, body: Mapping[str, Any]) -> bool:
        """Whether the FlashSale is of this engine and no other installation has claimed it."""
        return self._is_of_this_engine(body) and claimed_by(body) in ("", self.controller)

    def claim(self, body: Mapping[str, Any]) -> str:
        """The installation that serves a FlashSale of this engine; empty for other FlashSales, and before one has claimed it."""
        return claimed_by(body) if self._is_of_this_engine(body) else ""

    def rival(self, claims: Set[str]) -> str | None:
        """Another installation that serves this engine in the same namespaces, or None once one FlashSale is this one's own.

        An installation that has claimed one was here first or as well, and goes on with what it has.
        """
        return None if self.controller in claims else min(claims - {""}, default=None)

    def _is_of_this_engine(self, body: Mapping[str, Any]) -> bool:
        engine = body.get("spec", {}).get("engine", "")
        return engine == self.name or (not engine and self.is_default)


def claimed_by(body: Mapping[str, Any]) -> str:
    """The installation that serves a FlashSale; empty before one has claimed it."""
    return str((body.get("status") or {}).get("controllerName") or "")
