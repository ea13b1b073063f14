"""Command line options that several benches have."""

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path, typer.Option(help="Folder of the stack. A stack that runs is used; otherwise one is started, and stopped at the end.")
]
Seconds = Annotated[int, typer.Option(help="Seconds of each measurement.", min=1, max=60)]
Rounds = Annotated[int, typer.Option(help="How often each measurement is repeated. The medians count.", min=1, max=20)]
ResultFolder = Annotated[Path, typer.Option(help="Folder for the result, a JSON file.")]
PictureFolder = Annotated[Path, typer.Option(help="Folder for the pictures.")]
