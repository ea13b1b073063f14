"""`python -m tools.bench.token_steps`: the CPU time of checking a buyer token, whole and by its steps, without any server.

CPU time, unlike a rate, hardly depends on what else the machine does. The steps take turns, and the best round of each counts.
"""

import secrets
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from hmac import compare_digest
from time import process_time, time
from timeit import timeit

import typer

from flashsale_cli.console import console, table
from flashsale_core.buyer_token import BEARER, BuyerTokens
from flashsale_core.macs import mac_with
from flashsale_gateway.http.callers import buyer_of
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.identity_settings import IdentitySettings, Mode

ROUNDS = 100
CALLS_IN_ROUND = 1000
USER = "5f1c0e7a9b24-00-00000017"
"""As load.lua names buyers."""
_STANDARD = bytes.maketrans(b"-_", b"+/")


def steps() -> Mapping[str, Callable[[], object]]:
    """What is measured -> a call of it. Raises RuntimeError if a genuine token is not accepted."""
    key = secrets.token_hex(32).encode()
    header = f"Bearer {BuyerTokens([key]).sign(USER, int(time()) + 3600)}".encode()
    parse, mac = BEARER.fullmatch, mac_with(key)
    match = parse(header)
    by_mode = {mode: Identities(IdentitySettings(frozenset({mode}), (), (key,), 3600, None, "", ())) for mode in (Mode.BODY, Mode.TOKEN)}
    if match is None or by_mode[Mode.TOKEN].prove_buyer(header, (), "") != USER:
        raise RuntimeError("a token that was just signed is not accepted")
    signed, mac_text, digest = match[1], match[4], mac(match[1])
    body, token = by_mode[Mode.BODY].prove_buyer, by_mode[Mode.TOKEN].prove_buyer
    return {
        "a call of nothing": lambda: None,
        "whose order it is, mode body": lambda: buyer_of(body(header, (), ""), USER),
        "whose order it is, mode token": lambda: buyer_of(token(header, (), ""), USER),
        "alone: the form and the parts of the token": lambda: (parse(header) or match).groups(),
        "alone: its MAC, HMAC-SHA-256": lambda: mac(signed),
        "alone: base64 and the comparison": lambda: compare_digest(digest[:18], a2b_base64(mac_text.translate(_STANDARD))),
    }


def measure(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Microseconds of CPU time a call."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], timeit(call, number=CALLS_IN_ROUND, timer=process_time) / CALLS_IN_ROUND * 1e6)
    return best


def main() -> None:
    """Measure for a few seconds."""
    rows = [(name, f"{us:.2f}") for name, us in measure(steps()).items()]
    console().print(table("A buyer token", (" what", "µs of CPU time"), rows))


if __name__ == "__main__":
    typer.run(main)
