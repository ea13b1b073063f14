"""What shops receive: the types of events, their ids, and what an endpoint may be. Notifier, command line and feed agree on it. Pure."""

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from urllib.parse import urlsplit

from flashsale_core.credentials import is_host
from flashsale_core.errors import SettingsError


class EventType(StrEnum):
    ORDER_RESERVED = "order.reserved"
    ORDER_PAID = "order.paid"
    ORDER_EXPIRED = "order.expired"
    ORDER_CANCELLED = "order.cancelled"
    ORDER_RETURNED = "order.returned"
    REFUND_DUE = "refund.due"
    SALE_SOLD_OUT = "sale.sold_out"
    SALE_ENDED = "sale.ended"
    WEBHOOK_TEST = "webhook.test"


DEFAULT_TYPES = tuple(kind for kind in EventType if kind not in (EventType.ORDER_RESERVED, EventType.WEBHOOK_TEST))
"""The types of an endpoint that names none. Whoever orders already knows of `order.reserved`, and it would drown a shop."""
CHOSEN_TYPES = tuple(kind for kind in EventType if kind is not EventType.WEBHOOK_TEST)
DISABLED_BY_COMMAND = "by flashsale webhook disable"
REMOVED_FROM_SETTINGS = "removed from the settings"
DISABLED_BY_PEOPLE = frozenset((DISABLED_BY_COMMAND, REMOVED_FROM_SETTINGS))
"""Why an endpoint is disabled, if people wanted it so: that is no alert."""
ENDPOINTS_MAX = 32
"""Most enabled endpoints: it bounds connections, threads and memory of a notifier, and endpoints share none of these."""
URL_LENGTH_MAX = 2000
NAME_RULE = "1 to 40 lower-case letters, digits and '-'"
_NAME = re.compile(r"[a-z0-9-]{1,40}")


def event_id(sale_id: str, epoch: int, order_id: str, state: str) -> str:
    """The id of an event, which is the same whatever is redelivered: `evt_` and 128 bits of a hash. It has no dot, as signatures require.

    `order_id` is empty for an event of the sale itself. An order can owe several refunds, so `state` then also has the payment.
    """
    # A zero byte separates the parts, and none of their alphabets has one.
    key = "\0".join((sale_id, str(epoch), order_id, state))
    return f"evt_{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def endpoint_name(name: str, field: str = "name") -> str:
    """`name` as it is. Raises SettingsError unless it is an endpoint's name."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{field} must be {NAME_RULE}, not {name[:60]!r}")
    return name


def endpoint_url(url: str, field: str = "url") -> str:
    """`url` as it is. Raises SettingsError unless it is http or https with a host, without user and fragment.

    Whether its address is allowed is decided when a connection is opened.
    """
    fix = "use https://HOST/PATH"
    if len(url) > URL_LENGTH_MAX or not all("!" <= character <= "~" for character in url):
        raise SettingsError(f"{field} is longer than {URL_LENGTH_MAX} characters, or has a blank or a character that is not ASCII; {fix}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingsError(f"{field} is not a URL; {fix}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not is_host(parts.netloc):
        raise SettingsError(f"{field} must begin with https:// (http:// in an allowed network), and name a host but no user; {fix}")
    if parts.fragment:
        raise SettingsError(f"{field} has a fragment (#...), which no server receives; {fix}")
    return url


def event_types(names: Sequence[str], field: str = "types") -> tuple[EventType, ...]:
    """The types with these names, each once; the default ones for no name. Raises SettingsError for a name that is no type."""
    known = {kind.value: kind for kind in CHOSEN_TYPES}
    for name in names:
        if name not in known:
            raise SettingsError(f"{field} must be some of {', '.join(known)}, not {name[:60]!r}")
    return tuple(dict.fromkeys(known[name] for name in names)) or DEFAULT_TYPES
