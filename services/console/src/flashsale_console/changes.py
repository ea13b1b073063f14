"""The changes that the console asks for: what each one says before it is made, and what it sends. Pure.

Each is made under the generation that the person saw (decision 0049), so of two people one is refused and looks again. An end has no
such condition: it is an end whatever was changed before. A form is for one sale only, never for a later one of its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flashsale_console.sale_views import SaleView

STOCK_MAX = 1_000_000_000
ACTIONS = ("pause", "resume", "add", "stock", "close", "remove")


class WrongInputError(ValueError):
    """What a person entered cannot be used; the text says what to enter."""


@dataclass(frozen=True, slots=True)
class Change:
    action: str
    title: str
    button: str
    consequences: tuple[str, ...]
    """What will happen, in numbers."""
    stock_after: int | None = None
    """None if the stock stays."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """The body for POST /admin/stock, without the request's id."""
    end_mode: str = ""
    """For an end: the mode of DELETE /admin/sales."""
    is_final: bool = False
    """Whether nothing takes it back."""


def plan(action: str, sale: SaleView, units_text: str) -> Change:
    """What `action` does to the sale as it is now. Raises WrongInputError if that cannot be asked of any sale."""
    match action:
        case "pause":
            return _pause(sale)
        case "resume":
            document = {"productId": sale.sale_id, "add": 0, "paused": False}
            words = f"{_count(sale.available, 'unit')} can be bought at once, if the sale's window is open."
            return Change(action, f"Resume {sale.sale_id}", "Resume the sale", (words,), document=document)
        case "add":
            return _add(sale, _units(units_text, -STOCK_MAX))
        case "stock":
            return _set(sale, _units(units_text, 0))
        case "close" | "remove":
            return _end(sale, action)
        case _:
            raise WrongInputError(f"There is no action of this name; use {', '.join(ACTIONS)}")


def require_possible(change: Change, sale: SaleView) -> None:
    """Raises WrongInputError for a stock that the sale as it is now cannot have. Not for a form that is sent: it may be a repeat."""
    if change.stock_after is None:
        return
    committed = (sale.reserved or 0) + (sale.sold or 0)
    if change.stock_after < committed:
        raise WrongInputError(f"{committed:,} units are held or sold; the stock cannot be less")
    if change.stock_after > STOCK_MAX:
        raise WrongInputError(f"A sale has at most {STOCK_MAX:,} units")


def _pause(sale: SaleView) -> Change:
    consequences = (
        f"New orders are refused. {_unsold(sale)} until somebody resumes the sale.",
        _held(sale, "can still be paid, and expire as before"),
    )
    document = {"productId": sale.sale_id, "add": 0, "paused": True}
    return Change("pause", f"Pause {sale.sale_id}", "Pause the sale", consequences, document=document)


def _add(sale: SaleView, units: int) -> Change:
    if units == 0:
        raise WrongInputError("Enter the number of units to add, or a negative number to take units away")
    after = sale.stock + units
    verb = f"Add {units:,} to" if units > 0 else f"Take {-units:,} from"
    document = {"productId": sale.sale_id, "add": units}
    return Change("add", f"{verb} the stock of {sale.sale_id}", f"{verb} the stock", _stock_words(sale, after), after, document)


def _set(sale: SaleView, units: int) -> Change:
    document = {"productId": sale.sale_id, "stock": units}
    title, button = f"Set the stock of {sale.sale_id} to {units:,}", f"Set the stock to {units:,}"
    return Change("stock", title, button, _stock_words(sale, units), units, document)


def _end(sale: SaleView, action: str) -> Change:
    holds = _held(sale, "can still be paid until their deadlines")
    if action == "close":
        words = (f"No further order is accepted, for ever. {_unsold(sale)}.", holds)
        return Change(action, f"End {sale.sale_id}", "End the sale", words, end_mode="close", is_final=True)
    words = (
        "The sale leaves Redis. Its orders, payments and refunds stay in the ledger.",
        f"If buyers hold units, it is only ended. {holds}",
    )
    return Change(action, f"Remove {sale.sale_id}", "Remove the sale", words, end_mode="remove", is_final=True)


def _stock_words(sale: SaleView, after: int) -> tuple[str, ...]:
    committed = (sale.reserved or 0) + (sale.sold or 0)
    taken = f"{_count(committed, 'unit')} {'is' if committed == 1 else 'are'} held or sold"
    return (
        f"The stock goes from {sale.stock:,} to {after:,}.",
        f"{taken}, so about {max(0, after - committed):,} can be bought.",
    )


def _unsold(sale: SaleView) -> str:
    return f"{_count(sale.available, 'unit')} {'stays' if sale.available == 1 else 'stay'} unsold"


def _held(sale: SaleView, words: str) -> str:
    """What becomes of units that buyers hold. `words` are about several."""
    return "No buyer holds a unit now." if sale.reserved == 0 else f"Units that buyers hold {words}: {_count(sale.reserved, 'unit')} now."


def _units(text: str, least: int) -> int:
    digits = text.strip().replace(",", "").replace("\u2212", "-")
    if not digits.removeprefix("-").removeprefix("+").isdecimal() or not digits.isascii() or len(digits) > 11:
        raise WrongInputError("Enter a whole number of units, such as 50")
    units = int(digits)
    if not least <= units <= STOCK_MAX:
        raise WrongInputError(f"Enter a number from {least:,} to {STOCK_MAX:,}")
    return units


def _count(units: int | None, noun: str) -> str:
    if units is None:
        return f"An unknown number of {noun}s"
    return f"{units:,} {noun}{'' if units == 1 else 's'}"
