"""The people who may log in: lines `name:role:hash` of a file that is read again when it has changed."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from flashsale_core.errors import SettingsError
from flashsale_core.on_behalf import RULE, is_person
from flashsale_core.passwords import is_hash

USERS_MAX = 1000
FILE_BYTES_MAX = 256 * 1024
_FIX = "write lines of `flashsale console user NAME --role viewer|merchant`"
log = logging.getLogger(__name__)


class Role(StrEnum):
    VIEWER = "viewer"
    """Sees every page and changes nothing."""
    MERCHANT = "merchant"
    """May also change sales and settle refunds."""


class User(NamedTuple):
    name: str
    role: Role
    hashed: str

    @property
    def line(self) -> str:
        return f"{self.name}:{self.role}:{self.hashed}"


def parse(text: str, users_min: int = 1) -> dict[str, User]:
    """The users by name. Blank lines and lines that begin with `#` are skipped. Raises SettingsError that names the line, and no hash."""
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user = _user(line.strip(), number)
        if user.name in users:
            raise SettingsError(f"FLASHSALE_CONSOLE_USERS_FILE, line {number}: {user.name} has a line already; keep one of them")
        users[user.name] = user
    if not users_min <= len(users) <= USERS_MAX:
        raise SettingsError(f"FLASHSALE_CONSOLE_USERS_FILE has {len(users)} users; it needs 1 to {USERS_MAX}: {_FIX}")
    return users


def _user(line: str, number: int) -> User:
    where = f"FLASHSALE_CONSOLE_USERS_FILE, line {number}"
    name, _, rest = line.partition(":")
    role, _, hashed = rest.partition(":")
    if not is_person(name):
        raise SettingsError(f"{where}: a name is {RULE}; {_FIX}")
    if role not in list(Role):
        raise SettingsError(f"{where}: the role of {name} must be {' or '.join(Role)}; {_FIX}")
    if not is_hash(hashed):
        raise SettingsError(f"{where}: the password of {name} is no scrypt hash; {_FIX}")
    return User(name, Role(role), hashed)


class Users:
    """The file as it is now. One that cannot be read later changes nothing: whoever could log in still can, and the log says why.

    One that has no line any more is read: the last person's line was deleted, and nobody can log in.
    """

    def __init__(self, path: Path) -> None:
        """Raises SettingsError if the file cannot be read."""
        self._path = path
        self._mark = self._stamp()
        self._users: Mapping[str, User] = _load(path)

    def get(self, name: str) -> User | None:
        self._refresh()
        return self._users.get(name)

    def line_of(self, name: str) -> str | None:
        user = self.get(name)
        return user.line if user else None

    def _refresh(self) -> None:
        mark = self._stamp()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._users = _load(self._path, users_min=0)
            log.info("users.read", extra={"users": len(self._users)})
        except SettingsError as error:
            log.error("users.unreadable", extra={"reason": str(error)})

    def _stamp(self) -> tuple[int, int, int]:
        """What changes with the file's content; a mounted Secret is replaced by a rename, which changes the inode."""
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0, 0)
        return status.st_mtime_ns, status.st_size, status.st_ino


def _load(path: Path, users_min: int = 1) -> dict[str, User]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"FLASHSALE_CONSOLE_USERS_FILE: {path}: {error.strerror}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise SettingsError(f"FLASHSALE_CONSOLE_USERS_FILE has {len(raw)} bytes; at most {FILE_BYTES_MAX} are read")
    return parse(raw.decode(errors="replace"), users_min)
