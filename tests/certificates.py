"""Certificates of a private authority, made by the command openssl: nothing else in the workspace needs a library for them."""

import subprocess
from pathlib import Path
from typing import NamedTuple

_AUTHORITY = """[req]
distinguished_name=dn
[dn]
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = ("-days", "30")


class Certificate(NamedTuple):
    cert: Path
    key: Path


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name = folder, name
        self.cert, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        config = folder / f"{name}.cnf"
        config.write_text(_AUTHORITY)
        _openssl(
            "req",
            "-x509",
            "-config",
            config,
            "-extensions",
            "ca",
            *_KEY,
            "-keyout",
            self._key,
            "-out",
            self.cert,
            *_DAYS,
            "-subj",
            f"/CN={name}",
        )

    def issue(self, name: str, *hosts: str) -> Certificate:
        """A certificate for host names and addresses; without any, one for a client. A second one of a name replaces the first."""
        made = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        names = ",".join(f"{'IP' if host.replace('.', '').isdigit() else 'DNS'}:{host}" for host in hosts or [name])
        extensions.write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName={names}\n")
        config = self._folder / f"{self._name}.cnf"
        _openssl("req", "-new", "-config", config, *_KEY, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            self.cert,
            "-CAkey",
            self._key,
            "-CAcreateserial",
            "-out",
            made.cert,
            *_DAYS,
            "-extfile",
            extensions,
        )
        return made


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
