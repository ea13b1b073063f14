"""Origins of web pages, as a setting lists them and as browsers send them (RFC 6454, 6.1). Pure."""

import re

from flashsale_core.errors import SettingsError

ORIGINS_MAX = 50
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?:[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def read_origins(text: str, variable: str) -> tuple[str, ...]:
    """The origins of `origin,origin`; none if `text` is empty. Raises SettingsError, which names the variable and the fix."""
    if not text:
        return ()
    origins = tuple(_read_origin(origin, variable) for origin in text.split(","))
    if len(origins) > ORIGINS_MAX:
        raise SettingsError(f"{variable} has {len(origins)} origins; list at most {ORIGINS_MAX}")
    return tuple(dict.fromkeys(origins))


def _read_origin(origin: str, variable: str) -> str:
    fix = "write each as scheme://host or scheme://host:port, in lower case, such as https://shop.example, with commas between"
    if origin == "*":
        raise SettingsError(f"{variable} has *, so a page of anybody could order for the buyers who open it; {fix}")
    if origin == "null":
        raise SettingsError(f"{variable} has null, the origin of files and of sandboxed frames on any page; {fix}")
    parts = _ORIGIN.fullmatch(origin)
    if parts is None or int(parts["port"] or 1) > 65535:
        raise SettingsError(f"{variable} has {origin!r}, which is no origin; {fix}")
    if parts["port"] == _DEFAULT_PORTS[parts["scheme"]]:
        raise SettingsError(f"{variable} has {origin!r}, and browsers leave out the default port; write {origin.rpartition(':')[0]}")
    return origin
