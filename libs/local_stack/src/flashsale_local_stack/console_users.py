"""The people of a local stack's console: one merchant and one viewer, with one password."""

from pathlib import Path

from flashsale_core.passwords import hash_password


def write_users(path: Path, password: str) -> Path:
    """Write the users file; only its owner can read it."""
    hashed = hash_password(password)
    path.touch(mode=0o600)
    path.write_text(f"merchant:merchant:{hashed}\nviewer:viewer:{hashed}\n")
    return path
