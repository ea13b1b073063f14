"""Who proves who a buyer is: the part of the gateway's settings about identity and named keys. docs/decisions/0046 gives the reasons."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from flashsale_core import credentials
from flashsale_core.api_keys import ApiKey, read_keys
from flashsale_core.buyer_token import keys_of
from flashsale_core.errors import SettingsError
from flashsale_core.networks import Network, unmapped
from flashsale_core.settings import Environment

T = TypeVar("T")
JWT_SECRET_CHARACTERS_MIN = 32
"""The size of the hash in bytes: RFC 7518, 3.2."""
RESERVED_HEADERS = frozenset(
    {
        *("authorization", "content-type", "content-length", "host", "idempotency-key", "traceparent", "tracestate", "origin", "cookie"),
        *("connection", "transfer-encoding", "upgrade", "expect", "te", "trailer", "keep-alive", "date", "via", "forwarded", "user-agent"),
        *("accept", "if-match", "referer", "proxy-authorization", "webhook-id", "webhook-timestamp", "webhook-signature"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "access-control-request-method"),
    }
)
"""Headers that no proxy may use to name a buyer: clients, other proxies or HTTP itself give them another meaning."""
_FIELD_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""RFC 9110, 5.1: a token."""


class Mode(StrEnum):
    """Who proves who a buyer is."""

    SERVICE = "service"
    """The shop's backend, by a key of its own; it names the buyer in the body."""
    TOKEN = "token"  # noqa: S105 - a mode
    """A buyer token of the shop."""
    JWT = "jwt"
    """A JWT of an identity provider."""
    HEADER = "header"
    """A proxy in front, by a header."""
    BODY = "body"
    """Nobody: whoever sends a request names the buyer."""


@dataclass(frozen=True, slots=True)
class JwtSettings:
    issuer: str
    """FLASHSALE_JWT_ISSUER: the `iss` that a JWT must have."""
    audience: str
    """FLASHSALE_JWT_AUDIENCE: the `aud` that a JWT must have, perhaps among others."""
    user_claim: str
    """FLASHSALE_JWT_USER_CLAIM: the claim that names the buyer."""
    leeway_seconds: float
    """FLASHSALE_JWT_LEEWAY_SECONDS: how far the clock of the identity provider may differ."""
    secrets: tuple[str, ...]
    """FLASHSALE_JWT_SECRET: the secret of HS256; during a rotation several, with a blank between."""
    jwks_url: str
    """FLASHSALE_JWT_JWKS_URL: where the identity provider publishes its public keys, by https."""
    jwks_file: Path | None
    """FLASHSALE_JWT_JWKS_FILE: a file with these keys, instead of the URL; it is read again whenever keys are due."""
    jwks_refresh_seconds: float
    """FLASHSALE_JWKS_REFRESH_SECONDS: how often the keys are read again."""
    jwks_retry_seconds: float
    """FLASHSALE_JWKS_RETRY_SECONDS: the least time between two reads, after a failure or for a JWT of a key that is not known yet."""
    jwks_timeout_seconds: float
    """FLASHSALE_JWKS_TIMEOUT_SECONDS: how long one read may take. No order waits for it."""
    failures_per_second: float
    """FLASHSALE_JWT_FAILURES_PER_SECOND: the most JWTs that are verified in vain in a second; then further unknown JWTs get 429."""


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    modes: frozenset[Mode]
    """FLASHSALE_IDENTITY: any of service, token, jwt, header and body, with commas between."""
    service_keys: tuple[ApiKey, ...]
    """FLASHSALE_SERVICE_KEYS: the keys of the shop's backends: name:key, with commas between."""
    buyer_token_keys: tuple[bytes, ...]
    """FLASHSALE_BUYER_TOKEN_KEY: the key of buyer tokens, which the shop may share; during a rotation several, with a blank between."""
    buyer_token_seconds: int
    """FLASHSALE_BUYER_TOKEN_SECONDS: how long a buyer token of POST /session is valid."""
    jwt: JwtSettings | None
    """None unless FLASHSALE_IDENTITY has jwt."""
    header_name: str
    """FLASHSALE_IDENTITY_HEADER: the header in which the proxy names the buyer."""
    header_networks: tuple[Network, ...]
    """FLASHSALE_IDENTITY_HEADER_FROM: the addresses of these proxies, CIDRs with commas between; from others the header has no effect."""


def read_identity(env: Environment) -> IdentitySettings:
    """Raises SettingsError, which names the variable that is missing or wrong."""
    modes = _modes(env.text("FLASHSALE_IDENTITY", Mode.SERVICE))

    def needed(mode: Mode, name: str, read: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
        """The value of a variable that the mode needs; without the mode it is not even checked."""
        if mode not in modes:
            return ()
        if not env.optional(name):
            raise SettingsError(f"{name} is not set, and FLASHSALE_IDENTITY has the mode {mode}; set it, or choose another mode")
        return read(env.text(name))

    return IdentitySettings(
        modes=modes,
        service_keys=needed(Mode.SERVICE, "FLASHSALE_SERVICE_KEYS", lambda text: read_keys(text, "FLASHSALE_SERVICE_KEYS")),
        buyer_token_keys=needed(Mode.TOKEN, "FLASHSALE_BUYER_TOKEN_KEY", lambda text: keys_of(text, "FLASHSALE_BUYER_TOKEN_KEY")),
        buyer_token_seconds=env.integer("FLASHSALE_BUYER_TOKEN_SECONDS", 3600, least=60, most=604_800),
        jwt=_read_jwt(env) if Mode.JWT in modes else None,
        header_name=_header_name(env.text("FLASHSALE_IDENTITY_HEADER", "X-Auth-Request-User")),
        header_networks=needed(Mode.HEADER, "FLASHSALE_IDENTITY_HEADER_FROM", _networks),
    )


def _modes(text: str) -> frozenset[Mode]:
    names = text.split(",")
    if unknown := set(names) - set(Mode):
        raise SettingsError(f"FLASHSALE_IDENTITY must be any of {', '.join(Mode)}, with commas between, not {sorted(unknown)[0]!r}")
    return frozenset(map(Mode, names))


def _read_jwt(env: Environment) -> JwtSettings:
    secret, url, file = (
        env.optional("FLASHSALE_JWT_SECRET"),
        env.optional("FLASHSALE_JWT_JWKS_URL"),
        env.optional("FLASHSALE_JWT_JWKS_FILE"),
    )
    if not (secret or url or file):
        raise SettingsError(
            "FLASHSALE_IDENTITY has the mode jwt, and no keys are named; "
            "set FLASHSALE_JWT_JWKS_URL, FLASHSALE_JWT_JWKS_FILE or FLASHSALE_JWT_SECRET"
        )
    if url and file:
        raise SettingsError("FLASHSALE_JWT_JWKS_URL and FLASHSALE_JWT_JWKS_FILE are both set; keep one")
    if url:
        _check_jwks_url(url)
    return JwtSettings(
        issuer=env.text("FLASHSALE_JWT_ISSUER"),
        audience=env.text("FLASHSALE_JWT_AUDIENCE"),
        user_claim=env.text("FLASHSALE_JWT_USER_CLAIM", "sub"),
        leeway_seconds=env.number("FLASHSALE_JWT_LEEWAY_SECONDS", 30, most=300),
        secrets=credentials.tokens(secret, "FLASHSALE_JWT_SECRET", JWT_SECRET_CHARACTERS_MIN, "openssl rand -hex 32") if secret else (),
        jwks_url=url,
        jwks_file=Path(file) if file else None,
        jwks_refresh_seconds=env.number("FLASHSALE_JWKS_REFRESH_SECONDS", 300, least=1, most=86_400),
        jwks_retry_seconds=env.number("FLASHSALE_JWKS_RETRY_SECONDS", 30, least=1, most=3600),
        jwks_timeout_seconds=env.number("FLASHSALE_JWKS_TIMEOUT_SECONDS", 5, least=0.1, most=60),
        failures_per_second=env.number("FLASHSALE_JWT_FAILURES_PER_SECOND", 200, least=1, most=100_000),
    )


def _check_jwks_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise SettingsError("FLASHSALE_JWT_JWKS_URL is not a URL; use https://HOST/PATH") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise SettingsError("FLASHSALE_JWT_JWKS_URL does not begin with https://; whoever answers it decides who every buyer is")
    if not host:
        raise SettingsError("FLASHSALE_JWT_JWKS_URL names no host; use https://HOST/PATH")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _header_name(name: str) -> str:
    fix = "choose a name that only the proxy sends, such as X-Auth-Request-User"
    if not _FIELD_NAME.fullmatch(name):
        raise SettingsError(f"FLASHSALE_IDENTITY_HEADER is {name!r}, which is no name of a header; {fix}")
    if name.lower() in RESERVED_HEADERS:
        raise SettingsError(f"FLASHSALE_IDENTITY_HEADER is {name}, which clients send and which means something else; {fix}")
    return name


def _networks(text: str) -> tuple[Network, ...]:
    name = "FLASHSALE_IDENTITY_HEADER_FROM"
    try:
        networks = tuple(unmapped(ipaddress.ip_network(part)) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"{name} must be CIDRs with commas between, such as 10.0.0.0/8: {error}") from None
    if any(network.prefixlen == 0 for network in networks):
        raise SettingsError(f"{name} has every address, so any client could name any buyer; name the proxy's addresses only")
    return networks
