"""A certificate of this machine's own, so that clients that want TLS get it."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from neonkit.errors import ConfigurationError

_DAYS = 398  # the most that clients of certificates take as a lifetime


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for `localhost` and 127.0.0.1, with its key.

    Attributes:
        file: the certificate, in PEM: what a client names with `sslrootcert`.
        key: its private key, in a file of mode 0600.
    """

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Make one in a folder, in place of the one that may be there.

        Raises:
            ConfigurationError: the program `openssl` is not there.
        """
        program = shutil.which("openssl")
        if program is None:
            raise ConfigurationError(
                "there is no program openssl to make a certificate with: install your system's "
                "package openssl"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")  # a key is inside
        made = cls(folder / "certificate.pem", folder / "key.pem")
        made.key.touch(0o600)
        subprocess.run(  # noqa: S603  # a program that was looked for by name
            [
                *(program, "req", "-x509", "-days", str(_DAYS), "-nodes"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", made.key, "-out", made.file),
            ],
            check=True,
            capture_output=True,
        )
        return made

    def context(self) -> ssl.SSLContext:
        """Make the context of a server that ends TLS with it; 1.2 or newer, as Neon."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.file, self.key)
        return context
