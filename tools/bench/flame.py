"""`python -m tools.bench.flame`: where gateway and order-worker spend their time under load, as flame graphs in docs/pictures. Linux only.

py-spy records and flame_graph.py draws: in py-spy's own SVGs a script writes the words, and a page that shows a picture runs no script.
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
from tools.bench.flame_graph import draw
from tools.bench.options import Home, PictureFolder
from tools.bench.profiles import Profile, read_folded, shares
from tools.bench.testbed import open_testbed
from tools.bench.wrk import Load, run_wrk
from tools.repository import PICTURES

PY_SPY = str(Path(sys.executable).with_name("py-spy"))
SERVICES = ("gateway", "order-worker")
SAMPLES_PER_SECOND = 100
"""Each sample pauses the process for a few milliseconds. At 200 per second py-spy falls behind."""
SAMPLES_MIN = 100
WARM_SECONDS = 1
SPY_GRACE_SECONDS = 30.0
ATTACH_REFUSED = """py-spy is not allowed to read another process here. Run this as root, or allow tracing with
`sysctl kernel.yama.ptrace_scope=0` as root. A container must be started with `--cap-add SYS_PTRACE`."""


class FlameError(FlashsaleError):
    """No profile was recorded. The message gives the reason."""


def main(
    seconds: Annotated[int, typer.Option(help="Seconds of recording.", min=2, max=60)] = 30,
    connections: Annotated[int, typer.Option(help="Connections of wrk.", min=1, max=4096)] = 512,
    checkouts: Annotated[bool, typer.Option(help="Also pay each order. `-checkouts` is added to the names of the pictures.")] = False,
    home: Home = DEFAULT_HOME,
    folder: PictureFolder = PICTURES,
    suffix: Annotated[str, typer.Option(help="Added to the names of the pictures.")] = "",
) -> None:
    """Draw where gateway and order-worker spend their time while wrk orders."""
    try:
        with temporary_stack(home, 0, lambda words: typer.secho(words, dim=True)) as variables:
            environment = CliEnvironment(variables)
            pids = {status.name: status.pid for status in Stack(home).status() if status.name in SERVICES and status.pid}
            profiles = uvloop.run(record(environment, pids, checkouts, connections, seconds))
    except FlashsaleError as error:
        typer.secho(f"flame: {error}", err=True, fg="red")
        raise typer.Exit(EXIT_UNREACHABLE) from None
    load = "orders and their payments" if checkouts else "accepted orders"
    for service, profile in profiles.items():
        path = folder / f"flame-{service}{'-checkouts' if checkouts else ''}{suffix}.svg"
        path.write_text(draw(profile, f"{service}{suffix.replace('-', ' ')}, {load}, {connections} connections"))
        parts = ", ".join(f"{party} {share:.1%}" for party, share in shares(profile).items())
        typer.echo(f"drawn: {path.name}, {sum(profile.values())} samples: {parts}")


async def record(
    environment: CliEnvironment, pids: Mapping[str, int], checkouts: bool, connections: int, seconds: int
) -> dict[str, Profile]:
    """Service -> its profile under load. Raises FlameError when py-spy fails or the gateway refuses requests."""
    if shutil.which("wrk") is None or shutil.which(PY_SPY) is None:
        raise FlameError("wrk or py-spy is missing; `make flame` installs them")
    for pid in pids.values():
        await _spy(SPY_GRACE_SECONDS, "dump", "--pid", str(pid))
    async with open_testbed(environment) as testbed:
        load = Load(await testbed.new_sale("bench-flame"), secret=testbed.webhook_secret if checkouts else "")
        # The load begins before the recording and ends after it.
        loading = asyncio.create_task(run_wrk(testbed.url, load, connections, seconds + 2 * WARM_SECONDS))
        folded = await asyncio.gather(*[_record_process(pid, seconds) for pid in pids.values()])
        result = await loading
    if result.refused:
        raise FlameError(f"{result.refused} of {result.requests} requests were refused: the profile would not be that of accepted orders")
    return {service: _checked(service, read_folded(text)) for service, text in zip(pids, folded, strict=True)}


async def _record_process(pid: int, seconds: int) -> str:
    """Folded stacks. Without a pause for each sample, C functions are missing and a third of the deep stacks are broken."""
    await asyncio.sleep(WARM_SECONDS)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "folded"
        how = ("--native", "--full-filenames", "--format", "raw", "--rate", str(SAMPLES_PER_SECOND), "--duration", str(seconds))
        await _spy(seconds + SPY_GRACE_SECONDS, "record", *how, "--output", str(file), "--pid", str(pid))
        return file.read_text()


async def _spy(timeout_seconds: float, *words: str) -> None:
    process = await asyncio.create_subprocess_exec(PY_SPY, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(timeout_seconds):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        raise FlameError(f"py-spy {words[0]} did not end within {timeout_seconds:.0f} s") from None
    if process.returncode:
        raise FlameError(explain_failure(errors.decode()))


def explain_failure(errors: str) -> str:
    """py-spy's error, with advice when it lacks a right."""
    if re.search("permission denied|not permitted", errors, re.IGNORECASE):
        return ATTACH_REFUSED
    return f"py-spy failed: {errors.partition('Stack backtrace')[0].strip() or 'it gave no reason'}"


def _checked(service: str, profile: Profile) -> Profile:
    samples = sum(profile.values())
    if samples < SAMPLES_MIN:
        raise FlameError(f"only {samples} samples of the {service}, a picture needs {SAMPLES_MIN}: record for longer (--seconds)")
    return profile


if __name__ == "__main__":
    typer.run(main)
