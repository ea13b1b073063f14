"""The console's pages that the browser looks at: each route and template at least once, and the states in which they look different.

tests/unit/console/test_views.py compares them with the routes and templates of the code.
"""

from typing import NamedTuple

VIEWER, MERCHANT = "viewer", "merchant"


class View(NamedTuple):
    name: str
    template: str
    path: str
    """With the names of `Subjects` in braces."""
    person: str = MERCHANT


class Subjects(NamedTuple):
    """What the paths name."""

    sale: str
    """On sale, with a held and a sold unit."""
    owned: str
    """Owned by a FlashSale."""
    paused: str
    upcoming: str
    ended: str
    order: str
    """Paid, of a buyer with a long id."""
    reported: str
    """Paid, and reported as paid back."""
    refund: str
    """Due."""
    failed: str
    """A refund that failed."""
    buyer: str
    """The buyer of `order`."""
    endpoint: str
    """A webhook that fails."""


VIEWS = (
    View("attention", "attention", "/", VIEWER),
    View("sales", "sales", "/sales", VIEWER),
    View("sales-open", "sales", "/sales?state=open&q={sale}"),
    View("sales-paused", "sales", "/sales?state=paused"),
    View("sales-ended", "sales", "/sales?state=closed"),
    View("sales-removed", "sales", "/sales?state=removed&q=no-such-sale"),
    View("sale", "sale", "/sales/{sale}"),
    View("sale-viewed", "sale", "/sales/{sale}", VIEWER),
    View("sale-owned", "sale", "/sales/{owned}"),
    View("sale-paused", "sale", "/sales/{paused}"),
    View("sale-upcoming", "sale", "/sales/{upcoming}"),
    View("sale-ended", "sale", "/sales/{ended}"),
    View("end-question", "ask", "/sales/{sale}/change?action=close&units="),
    View("stock-question", "ask", "/sales/{sale}/change?action=add&units=5"),
    View("wrong-input", "wrong_input", "/sales/{sale}/change?action=add&units=many"),
    View("orders", "orders", "/orders", VIEWER),
    View("orders-found", "orders", "/orders?q={buyer}", VIEWER),
    View("orders-none", "orders", "/orders?q=nobody", VIEWER),
    View("order", "order", "/orders/{order}"),
    View("order-reported", "order", "/orders/{reported}"),
    View("return-question", "return_ask", "/orders/{order}/return?restock=yes"),
    View("leave-question", "leave_ask", "/orders/{reported}/leave-paid?reason=a+courtesy"),
    View("refunds-due", "refunds", "/refunds?state=due"),
    View("refunds-failed", "refunds", "/refunds?state=failed", VIEWER),
    View("refunds-sent", "refunds", "/refunds?state=sent"),
    View("refunds-reported", "reported", "/refunds?state=reported", VIEWER),
    View("refund", "refund", "/refunds/{refund}"),
    View("refund-failed", "refund", "/refunds/{failed}", VIEWER),
    View("refund-question", "refund_ask", "/refunds/{refund}/change?state=sent&reference=re_1"),
    View("webhooks", "webhooks", "/webhooks", VIEWER),
    View("webhooks-of-one", "webhooks", "/webhooks?endpoint={endpoint}", VIEWER),
    View("changes", "changes", "/changes", VIEWER),
    View("system", "system", "/system", VIEWER),
    View("no-such-page", "refused", "/no-such-page", VIEWER),
    View("no-such-order", "refused", "/orders/{order}x", VIEWER),
    View("forbidden", "refused", "/sales/{sale}/change?action=pause", VIEWER),
)
BY_A_FORM = (View("login", "login", "/login"), View("not-done", "not_done", "/sales/{sale}/change"))
"""Reached by what a person enters, so their tests have steps of their own."""
