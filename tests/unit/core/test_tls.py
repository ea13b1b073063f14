"""Certificates of connections: which files a URL gets, and which are refused before a service starts."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_core.tls import with_certificates
from tests.certificates import Authority, Certificate


class Made:
    def __init__(self, folder: Path) -> None:
        self.ca = Authority(folder)
        self.client: Certificate = self.ca.issue("client")
        self.other: Certificate = self.ca.issue("other")
        self.nothing = folder / "nothing.pem"
        self.nothing.write_text("no certificate\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("certificates"))


def environment(made: Made, **changes: object) -> Environment:
    files = {"CA": made.ca.cert, "CERT": made.client.cert, "KEY": made.client.key} | changes
    return Environment({f"FLASHSALE_TLS_{name}_FILE": str(path) for name, path in files.items()})


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("rediss://u:p@h:1/0", "?ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"),
        ("rediss+sentinel://a,b/x?db=1", "&ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"),
        ("rediss+cluster://a,b", "?ssl_ca_certs={ca}&ssl_certfile={cert}&ssl_keyfile={key}"),
        ("amqps://u:p@h/vhost", "?cafile={ca}&certfile={cert}&keyfile={key}"),
        ("postgresql://u:p@h/d?sslmode=verify-full", "&sslrootcert={ca}&sslcert={cert}&sslkey={key}"),
        ("postgres://u:p@h/d?sslmode=require", "&sslrootcert={ca}&sslcert={cert}&sslkey={key}"),
        ("rediss://h?ssl_ca_certs={ca}", "&ssl_certfile={cert}&ssl_keyfile={key}"),
        ("amqps://h/?certfile={other}&keyfile={other_key}", "&cafile={ca}"),
        ("redis://u:p@h:1/0", ""),
        ("amqp://u:p@h/", ""),
        ("postgresql://u:p@h/d", ""),
        ("postgresql://u:p@h/d?sslmode=disable", ""),
    ],
)
def test_only_a_url_with_tls_gets_the_files_it_does_not_name(made: Made, url: str, options: str) -> None:
    paths = {"ca": made.ca.cert, "cert": made.client.cert, "key": made.client.key, "other": made.other.cert, "other_key": made.other.key}
    given = url.format(**paths)
    assert with_certificates(given, environment(made)) == given + options.format(**paths)


def test_nothing_is_added_without_files() -> None:
    assert with_certificates("rediss://h", Environment({})) == "rediss://h"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"CA": "/nowhere/ca.crt"},
            r"^FLASHSALE_TLS_CA_FILE: /nowhere/ca\.crt: No such file or directory; it must contain the certificates",
        ),
        ({"CA": "{nothing}"}, r"^FLASHSALE_TLS_CA_FILE: .*nothing\.pem: NO_CERTIFICATE"),
        ({"CERT": ""}, "^FLASHSALE_TLS_KEY_FILE is set without FLASHSALE_TLS_CERT_FILE"),
        ({"KEY": ""}, "^FLASHSALE_TLS_CERT_FILE is set without FLASHSALE_TLS_KEY_FILE"),
        ({"KEY": "{other_key}"}, "^FLASHSALE_TLS_CERT_FILE and FLASHSALE_TLS_KEY_FILE: .*: KEY_VALUES_MISMATCH"),
        ({"CERT": "{nothing}"}, "^FLASHSALE_TLS_CERT_FILE and FLASHSALE_TLS_KEY_FILE: "),
    ],
)
def test_unusable_file_is_refused_with_the_variables_name(made: Made, changes: dict[str, str], words: str) -> None:
    changes = {name: path.format(nothing=made.nothing, other_key=made.other.key) for name, path in changes.items()}
    with pytest.raises(SettingsError, match=words):
        with_certificates("redis://h", environment(made, **changes))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rediss://u:secret@h?ssl_ca_certs=/nowhere", "^REDIS_URL: its option ssl_ca_certs: /nowhere: No such file"),
        ("amqps://u:secret@h/?certfile=/nowhere", "^AMQP_URL: its option certfile is set without its option keyfile"),
        ("postgresql://u:secret@h/d?sslmode=verify_full", "^DATABASE_URL: sslmode is 'verify_full'; it must be one of disable, "),
    ],
)
def test_unusable_option_of_a_url_is_refused_without_the_password(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        with_certificates(url, Environment({}))
    assert "secret" not in str(refused.value)


def test_postgres_without_an_authority_is_checked_by_the_public_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql://u:secret@h/d?sslmode=verify-full"
    bundle = tmp_path / "public.pem"
    bundle.touch()
    monkeypatch.setattr("flashsale_core.tls._BUNDLES", (str(bundle),))
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    assert with_certificates(url, Environment({})) == f"{url}&sslrootcert={bundle}"
    assert with_certificates(url, Environment({"PGSSLROOTCERT": "/other"})) == url
    bundle.unlink()
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: its sslmode needs .*; set FLASHSALE_TLS_CA_FILE or the option sslrootcert"):
        with_certificates(url, Environment({}))


def test_key_with_a_passphrase_is_refused_and_nobody_is_asked(made: Made, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    # The header alone makes OpenSSL ask for the passphrase.
    locked.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(SettingsError, match="without a passphrase"):
        with_certificates("redis://h", environment(made, KEY=locked))
