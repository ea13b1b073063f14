from pathlib import Path

import pytest

from flashsale_cli.environment import CliEnvironment
from flashsale_core.errors import SettingsError


def test_option_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("REDIS_URL=file\nDATABASE_URL=file\n")
    environment = CliEnvironment({"REDIS_URL": "environment", "DATABASE_URL": ""}, file)
    values = environment.text("REDIS_URL", "option"), environment.text("REDIS_URL"), environment.text("DATABASE_URL")
    assert values == ("option", "environment", "file")


def test_error_about_a_missing_setting_names_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FLASHSALE_ADMIN_TOKEN"):
        CliEnvironment({}, tmp_path / "none").text("FLASHSALE_ADMIN_TOKEN")


def test_url_has_a_default_and_no_slash_at_the_end(tmp_path: Path) -> None:
    environment = CliEnvironment({}, tmp_path / "none")
    assert (environment.url(), environment.url("http://10.0.0.1:80/")) == ("http://127.0.0.1:8000", "http://10.0.0.1:80")


def test_admin_port_has_an_address_of_its_own_if_it_is_set(tmp_path: Path) -> None:
    gateway = {"FLASHSALE_URL": "http://shop"}
    environment, split = (CliEnvironment(gateway | more, tmp_path / "none") for more in ({}, {"FLASHSALE_ADMIN_URL": "http://shop:8001/"}))
    assert (environment.admin_url(), split.admin_url(), split.url()) == ("http://shop", "http://shop:8001", "http://shop")
    assert split.admin_url("http://other") == "http://other"


def test_shards_must_be_a_number(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FLASHSALE_SHARDS"):
        CliEnvironment({"FLASHSALE_SHARDS": "many"}, tmp_path / "none").shards()
