"""What the operator's bench says when it has no cluster."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flashsale_cli.console import EXIT_USAGE
from tools.bench import operator_backlog


@pytest.mark.parametrize(
    ("file", "sentence"), [(None, "there is no kubeconfig: set KUBECONFIG"), ("absent", "the kubeconfig cannot be used")]
)
def test_bench_without_a_cluster_names_the_variable(
    file: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if file:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / file))
    app = typer.Typer()
    app.command()(operator_backlog.main)
    answer = CliRunner().invoke(app, ["--flashsales", "1"])
    assert (answer.exit_code, sentence in " ".join(answer.output.split())) == (EXIT_USAGE, True)
