"""`python -m tools.bench.flame`: where gateway and order-worker spend their time under load, as flame graphs in docs/pictures. Linux only.

py-spy looks at the processes and we draw: the words of its own SVGs are put in by a script, which no page that shows a picture runs.
"""

import asyncio
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
import uvloop

from flashsale_cli.console import EXIT_UNREACHABLE
from flashsale_cli.environment import CliEnvironment
from flashsale_core.errors import FlashsaleError
from flashsale_local_stack import DEFAULT_HOME, Stack, temporary_stack
from tools.bench.site import open_site
from tools.bench.stacks import Profile, draw, read, shares
from tools.bench.wrk import Load, shoot
from tools.repository import PICTURES

PY_SPY = str(Path(sys.executable).with_name("py-spy"))
SERVICES = ("gateway", "order-worker")
SAMPLES_PER_SECOND = 100
"""Each pauses the process for a few milliseconds; at 200 py-spy falls behind."""
SAMPLES_MIN = 100
WARM_SECONDS = 1
SPY_GRACE_SECONDS = 30.0
ATTACH = """py-spy may not look into another process here. Run this as root; or let processes be traced,
`sysctl kernel.yama.ptrace_scope=0` as root; in a container, start it with `--cap-add SYS_PTRACE`."""


class FlameError(FlashsaleError):
    """No profile was taken; the message says why."""


def main(
    seconds: Annotated[int, typer.Option(help="How long the processes are looked at.", min=2, max=60)] = 30,
    connections: Annotated[int, typer.Option(help="Of wrk.", min=1, max=4096)] = 512,
    checkouts: Annotated[bool, typer.Option(help="Pay each order, too; `-checkouts` is added to the names of the pictures.")] = False,
    home: Annotated[Path, typer.Option(help="Folder of the stack; it is used if it runs, else started and stopped again.")] = DEFAULT_HOME,
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = PICTURES,
    suffix: Annotated[str, typer.Option(help="Added to the names of the pictures.")] = "",
) -> None:
    """Draw where gateway and order-worker spend their time while wrk orders."""
    try:
        with temporary_stack(home, 0, lambda words: typer.secho(words, dim=True)) as variables:
            environment = CliEnvironment(variables)
            pids = {status.name: status.pid for status in Stack(home).status() if status.name in SERVICES and status.pid}
            profiles = uvloop.run(take(environment, pids, checkouts, connections, seconds))
    except FlashsaleError as error:
        typer.secho(f"flame: {error}", err=True, fg="red")
        raise typer.Exit(EXIT_UNREACHABLE) from None
    what = "orders and their payments" if checkouts else "accepted orders"
    for service, profile in profiles.items():
        path = folder / f"flame-{service}{'-checkouts' if checkouts else ''}{suffix}.svg"
        path.write_text(draw(profile, f"{service}{suffix.replace('-', ' ')}, {what}, {connections} connections"))
        found = ", ".join(f"{party} {share:.1%}" for party, share in shares(profile).items())
        typer.echo(f"drawn: {path.name}, {sum(profile.values())} samples: {found}")


async def take(environment: CliEnvironment, pids: Mapping[str, int], checkouts: bool, connections: int, seconds: int) -> dict[str, Profile]:
    """Profiles by service. Raises FlameError when py-spy or the gateway refuses."""
    if shutil.which("wrk") is None or shutil.which(PY_SPY) is None:
        raise FlameError("wrk or py-spy is missing; `make flame` installs them")
    for pid in pids.values():
        await _spy(SPY_GRACE_SECONDS, "dump", "--pid", str(pid))
    async with open_site(environment) as site:
        load = Load(await site.new_sale("bench-flame"), secret=site.webhook_secret if checkouts else "")
        # The load begins before the looking and ends after it.
        shooting = asyncio.create_task(shoot(site.url, load, connections, seconds + 2 * WARM_SECONDS))
        folded = await asyncio.gather(*[_record(pid, seconds) for pid in pids.values()])
        shot = await shooting
    if shot.refused:
        raise FlameError(f"{shot.refused} of {shot.requests} requests were refused: this is not what an accepted order costs")
    return {service: _enough(service, read(text)) for service, text in zip(pids, folded, strict=True)}


async def _record(pid: int, seconds: int) -> str:
    """Folded stacks. The process is paused for each: without, a third of the deep ones were torn, and C's functions cannot be had."""
    await asyncio.sleep(WARM_SECONDS)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "folded"
        how = ("--native", "--full-filenames", "--format", "raw", "--rate", str(SAMPLES_PER_SECOND), "--duration", str(seconds))
        await _spy(seconds + SPY_GRACE_SECONDS, "record", *how, "--output", str(file), "--pid", str(pid))
        return file.read_text()


async def _spy(bound_seconds: float, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(PY_SPY, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(bound_seconds):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise FlameError(f"py-spy {words[0]} did not end within {bound_seconds:.0f} s") from None
    if process.returncode:
        raise FlameError(refusal(errors.decode()))


def refusal(errors: str) -> str:
    """What py-spy's words mean for whoever ran us."""
    if re.search("permission denied|not permitted", errors, re.IGNORECASE):
        return ATTACH
    return f"py-spy failed: {errors.partition('Stack backtrace')[0].strip() or 'it did not say why'}"


def _enough(service: str, profile: Profile) -> Profile:
    samples = sum(profile.values())
    if samples < SAMPLES_MIN:
        raise FlameError(f"the {service} was seen at work {samples} times, a picture takes {SAMPLES_MIN}: look for longer (--seconds)")
    return profile


if __name__ == "__main__":
    typer.run(main)
