"""Opens what identity needs: the task that keeps an identity provider's keys, if there is one. Says loudly if nobody proves anything."""

import logging
from contextlib import AsyncExitStack

from flashsale_core.supervise import Supervisor
from flashsale_gateway import metrics
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.identity.jwts import Jwts
from flashsale_gateway.identity.key_reader import reader_of
from flashsale_gateway.identity.provider_keys import ProviderKeys
from flashsale_gateway.identity.verified_tokens import VerifiedTokens
from flashsale_gateway.identity_settings import IdentitySettings, JwtSettings, Mode

log = logging.getLogger(__name__)


def open_identities(settings: IdentitySettings, supervisor: Supervisor, stack: AsyncExitStack) -> Identities:
    for mode in Mode:
        metrics.IDENTITY_MODE.labels(mode.value).set(mode in settings.modes)
    if Mode.BODY in settings.modes:
        reason = "FLASHSALE_IDENTITY has the mode body: whoever reaches the gateway can order, read and cancel as any buyer"
        log.warning("identity.unproven", extra={"reason": reason})
    jwts = Jwts(settings.jwt, _provider_keys(settings.jwt, supervisor, stack), VerifiedTokens()) if settings.jwt is not None else None
    return Identities(settings, jwts)


def _provider_keys(settings: JwtSettings, supervisor: Supervisor, stack: AsyncExitStack) -> ProviderKeys | None:
    if not settings.jwks_url and settings.jwks_file is None:
        return None
    read = reader_of(settings.jwks_url, settings.jwks_file, settings.jwks_timeout_seconds)
    keys = ProviderKeys(read, settings.jwks_refresh_seconds, settings.jwks_retry_seconds)
    stack.push_async_callback(supervisor.start("jwks", keys.run).end)
    return keys
