"""Temporary files are in memory only where the machine has room, and nobody has said otherwise."""

import os
import tempfile
from pathlib import Path

import pytest

from tests import temporary_files
from tests.temporary_files import FREE_BYTES_MIN, fits, keep_in_memory


def test_folder_fits_if_it_and_the_memory_have_room(tmp_path: Path) -> None:
    rooms = os.statvfs(tmp_path)
    assert fits(tmp_path, FREE_BYTES_MIN) == (rooms.f_bavail * rooms.f_frsize >= FREE_BYTES_MIN)
    assert not fits(tmp_path, FREE_BYTES_MIN - 1)
    assert not fits(tmp_path / "missing", FREE_BYTES_MIN)


def test_folder_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(temporary_files, "fits", lambda *_: True)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    keep_in_memory()
    assert os.environ["TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize("room", [True, False])
def test_memory_holds_temporary_files_if_there_is_room(monkeypatch: pytest.MonkeyPatch, room: bool) -> None:
    monkeypatch.setenv("TMPDIR", "")  # brings the present value back at the end
    monkeypatch.delenv("TMPDIR")
    monkeypatch.setattr(tempfile, "tempdir", "/known")
    monkeypatch.setattr(temporary_files, "fits", lambda *_: room)
    keep_in_memory()
    assert (os.environ.get("TMPDIR"), tempfile.tempdir) == (("/dev/shm", None) if room else (None, "/known"))
