"""What keeper and workers report of themselves at /metrics: audit findings and parked messages. The parsing is pure."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from flashsale_console.engine import Engine

ADDRESSES_MAX = 8
"""Replicas of one service that are asked."""
LOOKUP_SECONDS = 3.0
_SAMPLE = re.compile(r'^(flashsale_\w+)(?:\{(?:\w+)="([^"]*)"\})? ([0-9.e+-]+)', re.MULTILINE)
_PARKED, _DIFFERENCES, _SKIPPED, _RUNNING = (
    "flashsale_parked_messages", "flashsale_audit_differences", "flashsale_audit_skipped", "flashsale_audit_running",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    parked: Mapping[str, int] = field(default_factory=dict)
    """Messages by parked queue."""
    differences: Mapping[str, int] = field(default_factory=dict)
    """Findings of the audit by kind."""
    skipped: int = 0
    is_audited: bool | None = None
    """Whether an audit runs now; None if no service that was asked has one."""
    away: tuple[str, ...] = ()
    """The services that did not answer, with the reason."""


def read(texts: Iterable[str], away: Iterable[str] = ()) -> ServiceFacts:
    """The facts in several expositions. If replicas report the same queue or kind, the highest value counts."""
    parked: dict[str, int] = {}
    differences: dict[str, int] = {}
    skipped, running = 0, None
    for text in texts:
        for name, label, value in _SAMPLE.findall(text):
            number = int(float(value))
            if name == _PARKED:
                parked[label] = max(parked.get(label, 0), number)
            elif name == _DIFFERENCES:
                differences[label] = max(differences.get(label, 0), number)
            elif name == _SKIPPED:
                skipped = max(skipped, number)
            elif name == _RUNNING:
                running = bool(running) or number > 0
    return ServiceFacts(parked, differences, skipped, running, tuple(away))


async def ask(engine: Engine, urls: Iterable[str]) -> ServiceFacts:
    """The facts of all services at `urls`, each of which is asked at every address of its name. Raises nothing."""
    targets = [target for targets in await asyncio.gather(*map(_addresses, urls)) for target in targets]
    answers = await asyncio.gather(*[_text(engine, url) for url in targets])
    return read([text for text, _ in answers if text], [reason for _, reason in answers if reason])


async def _addresses(url: str) -> list[str]:
    """`url` with each address in place of its name; as it is if the name cannot be resolved, so that the error says so."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            resolved = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 80, type=1)
    except (OSError, TimeoutError):
        return [url]
    hosts = sorted({str(address[0]) for *_, address in resolved})[:ADDRESSES_MAX]
    bracketed = (f"[{host}]" if ":" in host else host for host in hosts)
    return [parts._replace(netloc=f"{host}:{parts.port or 80}").geturl() for host in bracketed]


async def _text(engine: Engine, url: str) -> tuple[str, str]:
    try:
        return await engine.text(url), ""
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        return "", f"{url}: {type(error).__name__}: {error}".removesuffix(": ")
