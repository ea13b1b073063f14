"""What the operator and its tools say outside a cluster when there is no usable kubeconfig."""

from pathlib import Path

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_operator import main as operator
from flashsale_operator.apiserver import open_apiserver

CONFIG = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"


@pytest.mark.parametrize(
    "content",
    [
        None,
        "]",
        "a word",
        "current-context: c",
        CONFIG,
        CONFIG + "clusters: [{name: k, cluster: {server: s, certificate-authority-data: YQ==}}]\nusers: [{name: u}]",
    ],
)
async def test_unusable_kubeconfig_is_named(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(SettingsError, match=r"the kubeconfig cannot be used \(\w+: .*\): set KUBECONFIG"):
        await open_apiserver(Environment({})).__aenter__()


def test_operator_without_a_cluster_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0", "FLASHSALE_LUA_DIR": "lua"}.items():
        monkeypatch.setenv(name, value)
    # The handlers of the tests' own logs stay.
    monkeypatch.setattr(operator, "configure_logging", lambda _: None)
    assert operator.main() == 2
    (refused,) = [record for record in caplog.records if record.msg == "operator.refused"]
    assert "there is no kubeconfig: set KUBECONFIG" in vars(refused)["reason"]
