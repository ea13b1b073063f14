"""The certificates of connections to the three servers: one authority and one client certificate, written into the URLs of the servers.

A URL takes them to wherever a connection is opened, as options of its client library. The libraries read the files when they connect, so
the next connection uses a renewed certificate. See docs/decisions/0041.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from flashsale_core.errors import SettingsError
from flashsale_core.faults import Server


class Files(NamedTuple):
    """Three paths, the names of what contains them, or the options of a URL."""

    ca: str
    cert: str
    key: str


CA_FILE, CERT_FILE, KEY_FILE = VARIABLES = Files("FLASHSALE_TLS_CA_FILE", "FLASHSALE_TLS_CERT_FILE", "FLASHSALE_TLS_KEY_FILE")
_REDIS = (Server.REDIS, Files("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"))
_POSTGRES = (Server.POSTGRES, Files("sslrootcert", "sslcert", "sslkey"))
_SCHEMES = {
    "rediss": _REDIS, "rediss+cluster": _REDIS, "rediss+sentinel": _REDIS,
    "amqps": (Server.RABBITMQ, Files("cafile", "certfile", "keyfile")),
    "postgresql": _POSTGRES, "postgres": _POSTGRES,
}  # fmt: skip
# https://www.postgresql.org/docs/current/libpq-ssl.html, "Protection Provided in Different Modes"
_MODES = {"disable": False, "allow": False, "prefer": False, "require": True, "verify-ca": True, "verify-full": True}


# Where distributions keep the certificates of public authorities, if OpenSSL's own path has none.
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class Variables(Protocol):
    def text(self, name: str, *, default: str) -> str: ...


def with_certificates(url: str, environment: Variables) -> str:
    """`url`, which with TLS also has the files of FLASHSALE_TLS_* as options. Files that the URL names itself take precedence.

    Raises SettingsError, which names the variable, if a file cannot be read, or a certificate lacks its key or has another one.
    """
    files = Files(*(environment.text(name, default="") for name in VARIABLES))
    _check(files, VARIABLES)
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return url
    server, names = _SCHEMES[parts.scheme]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if server is Server.POSTGRES and not _uses_tls(options):
        return url
    own = Files(*(options.get(name, "") for name in names))
    _check(own, Files(*(f"{server.variable}: its option {name}" for name in names)))
    added = _added(own, files, names)
    if server is Server.POSTGRES and options["sslmode"].startswith("verify-") and not (own.ca or files.ca):
        added |= _public_authorities(names.ca, environment)
    return f"{url}{'&' if parts.query else '?'}{urlencode(added, quote_via=quote, safe='/')}" if added else url


def _added(own: Files, files: Files, names: Files) -> dict[str, str]:
    """A certificate and its key come from the same place."""
    chosen = Files("" if own.ca else files.ca, *(("", "") if own.cert else (files.cert, files.key)))
    return {name: path for name, path in zip(names, chosen, strict=True) if path}


def _uses_tls(options: Mapping[str, str]) -> bool:
    """Whether a connection to Postgres has to use TLS. Without a mode, its client tries TLS and checks nothing."""
    mode = options.get("sslmode", "prefer")
    if mode not in _MODES:
        raise SettingsError(f"DATABASE_URL: sslmode is {mode[:20]!r}; it must be one of {', '.join(_MODES)}")
    return _MODES[mode]


def _public_authorities(option: str, environment: Variables) -> dict[str, str]:
    """The system's, as for the other servers. asyncpg would look in a home directory, which a container does not have."""
    if environment.text("PGSSLROOTCERT", default=""):
        return {}
    file = ssl.get_default_verify_paths().cafile or next((path for path in _BUNDLES if Path(path).is_file()), None)
    if file is None:
        raise SettingsError(f"DATABASE_URL: its sslmode needs the certificate of an authority; set {CA_FILE} or the option {option}")
    return {option: file}


def _check(files: Files, names: Files) -> None:
    if files.ca:
        _load(
            names.ca, files.ca, "the certificates of an authority, in PEM", lambda context: context.load_verify_locations(cafile=files.ca)
        )
    if bool(files.cert) != bool(files.key):
        there, missing = (names.cert, names.key) if files.cert else (names.key, names.cert)
        raise SettingsError(f"{there} is set without {missing.rpartition(': ')[2]}; a client certificate needs both")
    if files.cert:
        _load(
            f"{names.cert} and {names.key.rpartition(': ')[2]}", f"{files.cert}, {files.key}",
            "a certificate and its key, in PEM and without a passphrase",
            # With no password OpenSSL would ask for one on the terminal.
            lambda context: context.load_cert_chain(files.cert, files.key, password=""),
        )  # fmt: skip


def _load(name: str, paths: str, content: str, load: "Load") -> None:
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except OSError as error:
        reason = (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
        raise SettingsError(f"{name}: {paths}: {reason}; it must contain {content}") from None


class Load(Protocol):
    def __call__(self, context: ssl.SSLContext, /) -> None: ...
