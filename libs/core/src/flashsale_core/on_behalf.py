"""For whom a program with an admin key asks for a change: the console names the person who is logged in to it. Pure.

The name of the key stays in front, so the log and the ledger say both who asked and who vouches for it (decision 0059).
"""

import re
from collections.abc import Sequence

HEADER = "Flashsale-On-Behalf-Of"
"""The request's header with the person's name. Only requests with an admin key are read for it."""
RULE = "1 to 40 lower-case letters, digits, '.', '_' and '-', the first a letter or digit"
_PERSON = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def is_person(text: str) -> bool:
    """Whether `text` is a name that a person may have: see RULE."""
    return _PERSON.fullmatch(text) is not None


def with_person(key_name: str, headers: Sequence[str]) -> str:
    """Who asks: `console/ann` with one header, the key's name without. Raises ValueError if there are several, or one that is no name."""
    if not headers:
        return key_name
    if len(headers) > 1 or not is_person(headers[0]):
        raise ValueError(f"Must be one name of {RULE}")
    return f"{key_name}/{headers[0]}"
