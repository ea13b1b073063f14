"""The page's files, in memory. Their folder is named by their contents, so browsers keep them for good and never mix two releases."""

import gzip
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from flashsale_storefront.answers import NO_SNIFFING, Answer, Header, header, is_current

FOLDER = Path(__file__).parent / "assets"
TYPES = {".js": b"text/javascript; charset=utf-8", ".css": b"text/css; charset=utf-8", ".svg": b"image/svg+xml"}
FOR_GOOD = b"public, max-age=31536000, immutable"
OF_ANOTHER_RELEASE = b"public, max-age=60"
"""While a release is rolled out, a page of one replica may ask another one for its files."""


_COMMENT = re.compile(rb"(?m)^ *(?://|/\*\*).*\n")
"""A line of a script that is a comment only, which no buyer needs."""


class Assets:
    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
        self._files |= {name: _COMMENT.sub(b"", content) for name, content in self._files.items() if name.endswith(".js")}
        # As small as they are, a crowd fetches them: compressed once, at the start.
        self._packed = {name: gzip.compress(content, mtime=0) for name, content in self._files.items()}
        self.version = hashlib.sha256(b"\0".join(self._files.values())).hexdigest()[:12]
        self._etag = b'"%b"' % self.version.encode()

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each file on the wire, by name."""
        return {name: len(content) for name, content in self._packed.items()}

    def path(self, name: str) -> str:
        return f"/s/-/{self.version}/{name}"

    def answer(self, version: str, name: str, headers: Sequence[Header]) -> Answer | None:
        """None if there is no such file."""
        if name not in self._files:
            return None
        cached = FOR_GOOD if version == self.version else OF_ANOTHER_RELEASE
        fixed = ((b"content-type", TYPES[Path(name).suffix]), NO_SNIFFING, (b"cache-control", cached), (b"vary", b"accept-encoding"))
        is_packed = b"gzip" in header(headers, b"accept-encoding")
        etag = self._etag[:-1] + (b'-gzip"' if is_packed else b'"')
        if is_current(header(headers, b"if-none-match"), etag):
            return Answer(304, (*fixed, (b"etag", etag)), b"")
        if is_packed:
            return Answer(200, (*fixed, (b"etag", etag), (b"content-encoding", b"gzip")), self._packed[name])
        return Answer(200, (*fixed, (b"etag", etag)), self._files[name])
