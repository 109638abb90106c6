"""The cluster's certificate authority, the identities it signs, and their kubeconfig files."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from local_stack.processes import run

_DAYS = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Authority:
    """A folder of keys and certificates; each is made once and then kept."""

    folder: Path
    log: Path

    @property
    def certificate(self) -> Path:
        """What everybody trusts."""
        return self.folder / "ca.crt"

    def pair(self, name: str) -> tuple[Path, Path]:
        """Name the certificate and the key of an identity."""
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def establish(self) -> None:
        """Make the authority itself and the keys that sign service account tokens."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make("ca", "/CN=c2d-local", ())
        private, public = self.service_account_keys
        if not public.exists():
            self._openssl("genrsa", "-out", private, "2048")
            unfinished = public.with_suffix(".new")
            self._openssl("rsa", "-in", private, "-pubout", "-out", unfinished)
            unfinished.rename(public)

    @property
    def service_account_keys(self) -> tuple[Path, Path]:
        """Name the private and the public key for service account tokens."""
        return self.folder / "service-accounts.key", self.folder / "service-accounts.pub"

    def sign(self, name: str, subject: str, *, alternatives: str | None = None) -> None:
        """Make key and certificate of an identity, for clients or, with names, for a server."""
        certificate, key = self.pair("ca")
        extension = ("-addext", f"subjectAltName={alternatives}") if alternatives else ()
        self._make(name, subject, ("-CA", certificate, "-CAkey", key, *extension))

    def kubeconfig(self, name: str, server: str) -> Path:
        """Write the kubeconfig file of an identity; it contains all it needs."""
        certificate, key = self.pair(name)
        cluster = {"server": server, "certificate-authority-data": _encoded(self.certificate)}
        user = {
            "client-certificate-data": _encoded(certificate),
            "client-key-data": _encoded(key),
        }
        text = json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c2d-local", "cluster": cluster}],
                "users": [{"name": name, "user": user}],
                "contexts": [
                    {"name": "c2d-local", "context": {"cluster": "c2d-local", "user": name}}
                ],
                "current-context": "c2d-local",
            },
            indent=1,
        )
        path = self.folder / f"{name}.kubeconfig"
        if not path.exists() or path.read_text() != text:
            path.touch(mode=0o600)
            path.write_text(text)
        return path

    def _make(self, name: str, subject: str, signed_by: tuple[str | Path, ...]) -> None:
        certificate, key = self.pair(name)
        if certificate.exists():
            return
        unfinished = certificate.with_suffix(".new")
        self._openssl(
            *("req", "-x509", *_NEW_KEY, "-days", _DAYS, "-subj", subject),
            *("-keyout", key, "-out", unfinished, *signed_by),
        )
        unfinished.rename(certificate)

    def _openssl(self, *words: str | Path) -> None:
        run(["openssl", *words], log=self.log)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
