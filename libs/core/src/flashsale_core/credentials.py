"""Secrets and server URLs, checked before a service starts. Pure. No error repeats a value, because it may contain a password."""

import binascii
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from flashsale_core.errors import SettingsError

WEBHOOK_PREFIX = "whsec_"
WEBHOOK_BYTES = (24, 64)
"""Shortest and longest webhook secret: https://github.com/standard-webhooks/standard-webhooks, "Signature scheme"."""
_WEBHOOK_FIX = 'use "whsec_" and the base64 of 24 to 64 random bytes, such as `echo whsec_$(openssl rand -base64 32)`'
_QUOTES = "'\"`"
_PLACEHOLDER = re.compile(r"change[-_ ]?(me|this)|replace[-_ ]?(me|this)|placeholder|your[-_ ](key|token|secret|password)", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\[\]:@,\s]+)(?::(?P<port>[0-9]{1,5}))?")


def webhook_secret(secret: str, name: str = "FLASHSALE_WEBHOOK_SECRET") -> str:
    """`secret` as it is. Raises SettingsError unless it is `whsec_` and strict base64 of 24 to 64 bytes, and no placeholder."""
    refuse_wrapping(secret, name, _WEBHOOK_FIX)
    if not secret.startswith(WEBHOOK_PREFIX):
        raise SettingsError(f'{name} does not begin with "{WEBHOOK_PREFIX}"; {_WEBHOOK_FIX}')
    try:
        key = binascii.a2b_base64(secret.removeprefix(WEBHOOK_PREFIX), strict_mode=True)
    except (binascii.Error, ValueError):
        raise SettingsError(f'{name} is not base64 after "{WEBHOOK_PREFIX}"; {_WEBHOOK_FIX}') from None
    least, most = WEBHOOK_BYTES
    if not least <= len(key) <= most:
        raise SettingsError(f"{name} holds {len(key)} bytes; {_WEBHOOK_FIX}")
    _refuse_placeholder(key.decode("latin-1"), name, _WEBHOOK_FIX)
    return secret


def webhook_secrets(text: str, name: str = "FLASHSALE_WEBHOOK_SECRET") -> tuple[str, ...]:
    """One secret, or several with one blank between: the first one signs, each is accepted. Raises as `webhook_secret` does."""
    return tuple(webhook_secret(secret, name) for secret in _listed(text))


def tokens(text: str, name: str, characters_min: int, command: str) -> tuple[str, ...]:
    """One token, or several with one blank between: clients send the first one, each is accepted. Raises as `token` does."""
    return tuple(token(secret, name, characters_min, command) for secret in _listed(text))


def first(text: str) -> str:
    """The secret that a client sends or signs with: the first one of a list, and everything else as it is."""
    return _listed(text)[0]


def token(secret: str, name: str, characters_min: int, command: str) -> str:
    """`secret` as it is. Raises SettingsError when it is short, a placeholder, in quotes, or not printable ASCII without blanks.

    `command` generates a good one; the error quotes it.
    """
    fix = f"try `{command}`"
    refuse_wrapping(secret, name, fix)
    if len(secret) < characters_min:
        raise SettingsError(f"{name} must have at least {characters_min} characters; {fix}")
    _refuse_placeholder(secret, name, fix)
    return secret


def server_url(url: str, name: str, schemes: Sequence[str], example: str) -> str:
    """`url` as it is. Raises SettingsError unless it has one of `schemes` and a host, or several hosts with commas between."""
    fix = f"use {example}, and percent-encode the password's special characters"
    refuse_wrapping(url, name, fix)
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes:
        raise SettingsError(f"{name} does not begin with {' or '.join(f'{known}://' for known in schemes)}; {fix}")
    if not all(is_host(host) for host in _authority(url, name, fix).rpartition("@")[2].split(",")):
        raise SettingsError(f"{name} names no host, or a port that is not a number from 1 to 65535; {fix}")
    return url


def amqp_url(url: str) -> str:
    return server_url(url, "AMQP_URL", ("amqp", "amqps"), "amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps for TLS)")


def database_url(url: str) -> str:
    """`url` as it is. The host may also be a parameter, such as the folder of a socket. Raises SettingsError, as `server_url` does."""
    example = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    if re.match(r"postgres(?:ql)?://[^/?#]*@?/[^?#\s]*\?(?:[^\s]*&)?host=[^\s&]+", url):
        return url
    return server_url(url, "DATABASE_URL", ("postgresql", "postgres"), example)


def is_host(text: str) -> bool:
    """Whether `text` is HOST or HOST:PORT, an IPv6 address in brackets."""
    host = _HOST.fullmatch(text)
    return host is not None and 0 < int(host["port"] or 1) <= 65535


def refuse_wrapping(text: str, name: str, fix: str) -> None:
    """Raises SettingsError when `text` is in quotes or has blanks: .env files, templates and `--from-file` often add them."""
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        raise SettingsError(f"{name} is in quotes; remove them, or {fix}")
    if not all("!" <= character <= "~" for character in text):
        raise SettingsError(f"{name} has a blank, a line end or a character that is not printable ASCII; {fix}")


def _listed(text: str) -> list[str]:
    """The parts between single blanks. Text with any other blank stays whole, and is refused."""
    parts = text.split(" ")
    return parts if all(parts) else [text]


def _authority(url: str, name: str, fix: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        raise SettingsError(f"{name} is not a URL; {fix}") from None


def _refuse_placeholder(text: str, name: str, fix: str) -> None:
    if _PLACEHOLDER.search(text):
        raise SettingsError(f"{name} is still a placeholder; {fix}")
