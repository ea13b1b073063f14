"""The keys of an identity provider: when they are read, which are kept, and which are never used."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import inf
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from flashsale_gateway import metrics
from flashsale_gateway.errors import Unauthenticated
from flashsale_gateway.identity.jwts import Jwts
from flashsale_gateway.identity.key_reader import KeyReadError, reader_of
from flashsale_gateway.identity.key_set import parse
from flashsale_gateway.identity.provider_keys import ProviderKeys
from flashsale_gateway.identity.verified_tokens import VerifiedTokens
from tests.unit.gateway.identity_provider import SETTINGS, IdentityProvider

REFRESH, RETRY = 300.0, 30.0


@pytest.fixture(scope="module")
def provider() -> IdentityProvider:
    return IdentityProvider()


class Server:
    """An identity provider that can be away, and a clock that is only advanced."""

    def __init__(self, document: bytes) -> None:
        self.document: bytes | None = document
        self.reads = 0
        self.now = 0.0
        self.keys = ProviderKeys(self._read, REFRESH, RETRY, lambda: self.now)

    def _read(self) -> bytes:
        self.reads += 1
        if self.document is None:
            raise KeyReadError("away")
        return self.document

    async def at(self, now: float) -> int:
        """How often the keys were read once this moment has passed."""
        self.now = now
        await self.keys.read_if_due()
        return self.reads


async def test_provider_that_is_away_for_an_hour_leaves_its_keys(provider: IdentityProvider) -> None:
    server = Server(provider.document())
    await server.at(0)
    server.document = None
    for second in range(1, 3601):
        await server.at(second)
        assert server.keys.find("RS256", "RS256") is not None
    assert (server.reads, server.keys.age_seconds()) == (1 + (3600 - 300) // 30 + 1, 3600)


async def test_new_key_is_used_within_half_a_minute(provider: IdentityProvider) -> None:
    """A provider rotates its keys right after they were read: the first token of the new key has them read again."""
    old = [key | {"kid": "old"} for key in provider.published()]
    server = Server(json.dumps({"keys": old}).encode())
    await server.at(0)
    server.document = provider.document()
    assert server.keys.find("RS256", "RS256") is None
    assert (await server.at(29.9), await server.at(30)) == (1, 2)
    assert server.keys.find("RS256", "RS256") is not None
    assert server.keys.find("old", "RS256") is None


async def test_tokens_of_unknown_keys_cause_one_read_in_half_a_minute(provider: IdentityProvider) -> None:
    server = Server(provider.document())
    for tenth in range(3000):
        await server.at(tenth / 10)
        server.keys.find(f"hostile-{tenth}", "RS256")
    assert server.reads == 10


async def test_new_key_under_an_old_id_is_used_within_half_a_minute(provider: IdentityProvider) -> None:
    server, rotated = Server(IdentityProvider().document()), provider.token("ES256")
    jwts = Jwts(SETTINGS, server.keys, VerifiedTokens())
    await server.at(0)
    server.document = provider.document()
    with pytest.raises(Unauthenticated, match="bad_jwt"):
        jwts.verify(rotated)
    assert (await server.at(29.9), await server.at(30)) == (1, 2)
    # The refusal was remembered only as long as the keys stayed.
    assert jwts.verify(rotated).user == "ann"


async def test_forged_signatures_cause_one_read_in_half_a_minute(provider: IdentityProvider) -> None:
    server, stranger = Server(provider.document()), IdentityProvider()
    jwts = Jwts(SETTINGS, server.keys, VerifiedTokens())
    for second in range(300):
        await server.at(second)
        with pytest.raises(Unauthenticated, match="bad_jwt"):
            jwts.verify(stranger.token("EdDSA", f"u{second}"))
    assert server.reads == 10


async def test_keys_are_read_every_five_minutes_and_soon_after_a_failure(provider: IdentityProvider) -> None:
    server = Server(provider.document())
    reads = [await server.at(now) for now in (0, 299, 300, 599)]
    server.document = None
    reads += [await server.at(now) for now in (600, 629, 630)]
    assert reads == [1, 1, 2, 2, 3, 3, 4]


async def test_until_they_were_read_once_keys_are_tried_every_five_seconds(provider: IdentityProvider) -> None:
    server = Server(provider.document())
    server.document = None
    assert [await server.at(now) for now in (0, 4, 5, 10)] == [1, 1, 2, 3]


async def test_age_is_infinite_until_they_were_read_once(provider: IdentityProvider, caplog: pytest.LogCaptureFixture) -> None:
    """An age of 0 would be that of a gateway whose keys are fresh, and no alert would fire."""

    def age() -> float:
        return next(iter(metrics.JWKS_AGE_SECONDS.collect())).samples[0].value

    server = Server(provider.document())
    server.document = None
    await server.at(0)
    assert age() == inf
    server.document = provider.document()
    await server.at(5)
    assert age() == 0
    # JSON has no infinity.
    assert [record.__dict__["age_seconds"] for record in caplog.records if record.message == "jwks.unread"] == [None]


async def test_document_without_a_usable_key_changes_nothing(provider: IdentityProvider) -> None:
    server = Server(provider.document())
    changes: list[float] = []
    server.keys.on_change = lambda: changes.append(server.now)
    await server.at(0)
    for number, document in enumerate((b"", b"[]", b"\xff", b'{"keys":7}', b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AAAA"}]}')):
        server.document = document
        await server.at(300 + 30 * number)
        assert server.keys.find("EdDSA", "EdDSA") is not None
    assert (changes, server.reads) == ([0], 7)


def test_document_nested_too_deeply_is_refused_as_any_other_bad_one() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(b"[" * 100_000)


def test_keys_for_other_uses_and_weak_ones_are_passed_over(provider: IdentityProvider) -> None:
    weak = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))  # noqa: S505 - the weak one
    broken = [{"kty": "RSA", "n": "AQAB"}, {"kty": "EC", "crv": "P-256", "x": 1}, {"kty": "EC", "crv": "P-384"}, "no key", {}]
    others = [key | {"use": "enc"} for key in provider.published()] + [key | {"alg": "RS512"} for key in provider.published()]
    keys = parse(json.dumps({"keys": [weak | {"kid": "weak"}, *broken, *others, *provider.published()]}).encode())
    assert keys.names == ["ES256", "EdDSA", "RS256"]


def test_token_without_a_key_id_may_use_the_only_key_of_its_algorithm(provider: IdentityProvider) -> None:
    keys = parse(provider.document())
    assert (key := keys.find("", "RS256")) is not None
    assert key.kid == "RS256"
    twice = parse(json.dumps({"keys": [*provider.published(), *provider.published()]}).encode())
    assert twice.find("", "RS256") is None


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], str]]:
    """Serves one path on the loopback interface, by what the test does with each request."""
    servers: list[HTTPServer] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in http.server
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/keys"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_document_is_read_from_a_server_and_bounded(serve: Callable[..., str]) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"x" * 1000)

    url = serve(answer)
    assert reader_of(url, None, 5, bytes_max=1000)() == b"x" * 1000
    with pytest.raises(KeyReadError, match="more than 999 bytes"):
        reader_of(url, None, 5, bytes_max=999)()


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404, 500])
def test_redirect_or_error_is_no_document(serve: Callable[..., str], status: int) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", "http://127.0.0.1:1/keys")
        request.end_headers()

    with pytest.raises(KeyReadError):
        reader_of(serve(answer), None, 5)()


def test_server_that_is_not_there_is_a_reason() -> None:
    with pytest.raises(KeyReadError, match=r"127\.0\.0\.1:1"):
        reader_of("http://127.0.0.1:1/keys", None, 5)()


def test_file_is_read_again_each_time_and_bounded(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    read = reader_of("", file, 5, bytes_max=4)
    with pytest.raises(KeyReadError, match=r"keys\.json"):
        read()
    for content in (b"one", b"two"):
        file.write_bytes(content)
        assert read() == content
    file.write_bytes(b"three")
    with pytest.raises(KeyReadError, match="more than 4"):
        read()
