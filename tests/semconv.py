"""The attribute names of OpenTelemetry's semantic conventions, out of the package that the lock has."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

STABLE = ("attributes.http_attributes", "attributes.url_attributes", "attributes.db_attributes", "attributes.server_attributes",
          "attributes.error_attributes")  # fmt: skip
# Messaging is not stable yet: its names are those of the version that the package is of.
DEVELOPING = ("_incubating.attributes.messaging_attributes",)


def _names(*modules: str) -> Iterator[str]:
    """What the conventions define and have not deprecated."""
    for module in modules:
        file = import_module(f"opentelemetry.semconv.{module}").__file__
        assert file is not None
        for name, words in re.findall(r'^\w+: Final = "([^"]+)"\n"""\n([^\n]*)', Path(file).read_text(), re.MULTILINE):
            if not words.startswith("Deprecated"):
                yield name


CONVENTIONS = frozenset(_names(*STABLE, *DEVELOPING))
