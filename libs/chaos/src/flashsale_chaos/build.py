"""Starts a bench and ends everything that it started."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from flashsale_chaos.bench import Bench
from flashsale_chaos.further import GATEWAY_2, ORDER_WORKER_2, Further
from flashsale_chaos.machine import prepare
from flashsale_chaos.network import Link
from flashsale_chaos.watchdog import watched
from flashsale_local_stack import Stack, free_ports

VARIABLES = {"redis": "REDIS_URL", "rabbitmq": "AMQP_URL", "postgres": "DATABASE_URL"}
# Shorter than for production: a round lasts seconds. A confirm must count for less time than the keeper waits for a silent gateway.
SERVICES_ENV = {
    "FLASHSALE_CONFIRM_TIMEOUT_SECONDS": "1",
    "FLASHSALE_KEEPER_ATTEST_SECONDS": "2",
    "FLASHSALE_KEEPER_GRACE_SECONDS": "5",
    "FLASHSALE_REDIS_TIMEOUT_SECONDS": "1.5",
    "FLASHSALE_RELAY_CLAIM_IDLE_MS": "2000",
    "FLASHSALE_TIMEOUT_WORKER_PROBE_TIMEOUT_SECONDS": "3",
}


@asynccontextmanager
async def running_bench(home: Path, *, keep: bool, say: Callable[[str], None]) -> AsyncIterator[Bench]:
    """A bench in the folder `home`. Raises StackError if a server is missing or does not start."""
    stack = Stack(home, say)
    async with AsyncExitStack() as ending:
        ending.enter_context(watched(stack.home, keep=keep))
        machine = await asyncio.to_thread(prepare, stack.home)
        ending.push_async_callback(_in_thread, lambda: machine.close(keep=keep))
        ending.push_async_callback(_in_thread, lambda: _end(stack, keep=keep))
        await asyncio.to_thread(stack.up, services=False, gateway_port=0, redis_server=machine.redis_server)
        direct_env = stack.env()
        links = {name: await _link(ending, direct_env[variable]) for name, variable in VARIABLES.items()}
        # Once more: the services must end before their links.
        ending.push_async_callback(_in_thread, lambda: _end(stack, keep=keep))
        await asyncio.to_thread(stack.up, extra_env={**SERVICES_ENV, **_through(direct_env, links)})
        own = {name: await _link(ending, direct_env[VARIABLES[name]]) for name in ("redis", "rabbitmq")}
        further = {}
        for name, port in zip((GATEWAY_2, ORDER_WORKER_2), free_ports(2), strict=True):
            reached = _through(direct_env, own) if name == GATEWAY_2 else {}
            further[name] = Further(name, stack.env() | reached, port, stack.home / "log" / f"{name}.log")
            ending.push_async_callback(_in_thread, further[name].stop)
            await asyncio.to_thread(further[name].launch, {})
        all_links = {**links, **{f"{GATEWAY_2}.{name}": link for name, link in own.items()}}
        gateways = [direct_env["FLASHSALE_URL"], f"http://{further[GATEWAY_2].address}"]
        yield Bench(stack, all_links, further, gateways, stack.env() | direct_env, machine)


def _end(stack: Stack, *, keep: bool) -> None:
    """What is not kept need not end in order."""
    if not keep:
        for status in reversed(stack.status()):
            stack.kill(status.name)
    stack.down(keep_data=keep)


async def _link(ending: AsyncExitStack, url: str) -> Link:
    address = urlsplit(url)
    link = Link((str(address.hostname), int(address.port or 0)))
    await link.start()
    ending.push_async_callback(link.close)
    return link


def _through(direct_env: Mapping[str, str], links: Mapping[str, Link]) -> dict[str, str]:
    """The servers' variables with the links' ports."""
    urls = {VARIABLES[name]: (direct_env[VARIABLES[name]], link) for name, link in links.items()}
    return {name: url.replace(f":{link.target[1]}/", f":{link.port}/") for name, (url, link) in urls.items()}


async def _in_thread(end: Callable[[], object]) -> None:
    """An interrupt must not leave a process behind: what ends them runs to its end."""
    await asyncio.shield(asyncio.to_thread(end))
