"""The shop's pages. They load nothing but the shop's own buy.js."""

from html import escape

from examples.shop.settings import Settings
from examples.shop.store import Order
from flashsale_client import Json

_FRAME = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:1.1rem/1.6 system-ui;margin:3rem auto;max-width:32rem;padding:0 1rem}}
button{{font:inherit;padding:.6rem 1.4rem}}</style>{refresh}<h1>{title}</h1>{content}</html>"""
_BUY = """<p>{price}</p><form method="post" action="/buy"><button>Buy</button></form><p role="status"></p>
<script type="module">
import {{ buy, newRequestId }} from "/buy.js";
const status = document.querySelector("[role=status]"), form = document.forms[0], button = form.querySelector("button");
const order = async (requestId) => {{
  const credentials = await (await fetch("/credentials")).json();
  return buy({{ productId: "{product}", requestId, ...credentials }});
}};
form.addEventListener("submit", async (click) => {{
  click.preventDefault();
  button.disabled = true;
  status.textContent = "Your order is on its way …";
  // A reload of the page repeats this click; it does not become a second order.
  const requestId = sessionStorage.requestId ??= newRequestId();
  const outcome = await order(requestId).catch(() => ({{ repeatable: true, problem: {{ title: "No answer arrived; try again" }} }}));
  if (!outcome.repeatable) delete sessionStorage.requestId;
  if (outcome.ok) return location.assign("/o/" + outcome.order.orderId);
  status.textContent = outcome.problem.title;
  button.disabled = false;
}});
</script>"""
_WORDS = {
    "reserved": "It is yours until {expires} UTC. Pay now.",
    "paid": "Paid. Thank you!",
    "expired": "The time to pay is over; the order has expired.",
    "cancelled": "The order was cancelled.",
    "returned": "The order was returned.",
}
_PAYMENTS = {
    "authorised": "Your payment is being checked.",
    "captured": "Your payment has arrived.",
    "released": "Your payment was not taken, or you have it back.",
}


def front(settings: Settings) -> str:
    return _page(settings.product, _BUY.format(price=_price(settings.amount_minor, settings.currency), product=escape(settings.product)))


def refused(problem: Json) -> str:
    return _page(str(problem["title"]), '<p><a href="/">Back</a></p>')


def order(order: Order, shown: Json | None, back: str) -> str:
    """The page of an order: `shown` is the engine's answer, None while it does not answer; `back` is its sale's page, or empty."""
    state = str(shown["state"]) if shown else order.state
    expires = str(shown["expiresAt"])[11:19] if shown else ""
    sentences = [_WORDS.get(state, state).format(expires=expires), _PAYMENTS.get(order.payment, "")]
    content = "".join(f"<p>{sentence}</p>" for sentence in sentences if sentence)
    waiting = state == "reserved"
    if waiting and order.payment in ("none", "released"):
        price = _price(order.amount_minor, order.currency)
        content += f'<form method="post" action="/o/{escape(order.order_id)}/pay"><button>Pay {price}</button></form>'
    if back:
        content += f'<p><a href="{escape(back)}">Back to the sale</a></p>'
    return _page("Your order", content, '<meta http-equiv="refresh" content="5">' if waiting else "")


def _page(title: str, content: str, refresh: str = "") -> str:
    return _FRAME.format(title=escape(title), content=content, refresh=refresh)


def _price(amount_minor: int, currency: str) -> str:
    return f"{amount_minor / 100:,.2f} {escape(currency)}"
