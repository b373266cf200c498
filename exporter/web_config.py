"""`--web.config.file`, in the format of Prometheus' exporter-toolkit: TLS, client certificates, users with bcrypt."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from catalog.config import FilePath
from catalog.document import Document, Where, read_document
from catalog.fault import CatalogError, Fault
from catalog.model import Frozen
from catalog.structure import structure_faults, validation_faults

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_SUITE = re.compile(
    r"^TLS_(?P<exchange>RSA|ECDHE_RSA|ECDHE_ECDSA)_WITH_"
    r"(?P<cipher>AES_128_CBC|AES_256_CBC|AES_128_GCM|AES_256_GCM|CHACHA20_POLY1305)_(?P<hash>SHA|SHA256|SHA384)$"
)
_OF_TLS13 = re.compile(r"^TLS_(?:AES|CHACHA20)_")
_BCRYPT = re.compile(r"^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$")


class TlsConfig(Frozen):
    cert_file: FilePath
    key_file: FilePath
    client_auth_type: Literal[
        "NoClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
    ] = "NoClientCert"
    client_ca_file: FilePath | None = None
    client_allowed_sans: tuple[str, ...] = ()
    """Of a client's certificate, one of the names (DNS, IP, mail, URI) must be among these."""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    """For TLS 1.2 and older, under Go's names; those of 1.3 cannot be chosen."""
    curve_preferences: tuple[Literal["CurveP256", "CurveP384", "CurveP521", "X25519"], ...] = Field(
        default=(), max_length=1
    )
    prefer_server_cipher_suites: bool = True

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.client_auth_type in ("RequestClientCert", "RequireAnyClientCert"):
            raise ValueError(
                "a client's certificate is verified or not asked for: write RequireAndVerifyClientCert, "
                "VerifyClientCertIfGiven or NoClientCert as client_auth_type"
            )
        if self.asks_clients and self.client_ca_file is None:
            raise ValueError(f'"client_ca_file" is missing: {self.client_auth_type} verifies clients by it')
        if not self.asks_clients and (self.client_ca_file or self.client_allowed_sans):
            raise ValueError("clients are not asked for certificates: write a client_auth_type that verifies them")
        if list(VERSIONS).index(self.min_version) > list(VERSIONS).index(self.max_version):
            raise ValueError("min_version is above max_version")
        for suite in self.cipher_suites:
            openssl_name(suite)
        return self

    @property
    def asks_clients(self) -> bool:
        return self.client_auth_type in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")

    def context(self) -> ssl.SSLContext:
        """What connections are secured by. Raises OSError (`ssl.SSLError` is one) when a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = VERSIONS[self.min_version], VERSIONS[self.max_version]
        context.set_alpn_protocols(["http/1.1"])
        # Without a password at hand an encrypted key would be asked for on the terminal.
        context.load_cert_chain(self.cert_file, self.key_file, password="")
        if self.cipher_suites:
            names = [name for suite in self.cipher_suites if (name := openssl_name(suite)) is not None]
            context.set_ciphers(":".join(names))
        if self.prefer_server_cipher_suites:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        for curve in self.curve_preferences:
            context.set_ecdh_curve(CURVES[curve])
        if self.asks_clients:
            required = self.client_auth_type == "RequireAndVerifyClientCert"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
            context.load_verify_locations(self.client_ca_file)
        return context


def openssl_name(suite: str) -> str | None:
    """OpenSSL's name of a cipher suite that Go names; None for TLS 1.3's, which are always there. Raises ValueError."""
    if _OF_TLS13.match(suite):
        return None
    found = _SUITE.match(suite)
    if found is None:
        raise ValueError(
            f"cipher_suites: {suite[:60]!r} is not known; write it like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        )
    exchange = "" if found["exchange"] == "RSA" else found["exchange"].replace("_", "-") + "-"
    cipher = re.sub(r"AES_(\d+)", r"AES\1", found["cipher"]).replace("_CBC", "").replace("_", "-")
    return f"{exchange}{cipher}" if "CHACHA20" in cipher else f"{exchange}{cipher}-{found['hash']}"


class HttpConfig(Frozen):
    http2: bool = True
    """Taken for the format's sake: HTTP/1.1 is spoken, whatever it says."""
    headers: Mapping[
        Literal[
            "Content-Security-Policy",
            "Strict-Transport-Security",
            "X-Content-Type-Options",
            "X-Frame-Options",
            "X-XSS-Protection",
        ],
        str,
    ] = Field(default_factory=dict)


class WebConfig(Frozen):
    """Empty: plain HTTP, open to everybody who reaches the address."""

    tls_server_config: TlsConfig | None = None
    http_server_config: HttpConfig = HttpConfig()
    basic_auth_users: Mapping[str, str] = Field(default_factory=dict)
    """Users, and the bcrypt hashes of their passwords."""

    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        tls = self.tls_server_config
        return () if tls is None else tuple(filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file)))


def load_web_config(path: Path) -> WebConfig:
    """What the file says. Raises CatalogError with every fault."""
    document = read_document(path)
    if document.value is None:
        return WebConfig()
    faults = [fault for _, fault in structure_faults(document, WebConfig.model_json_schema())]
    faults += [document.fault(where, said) for where, said in _wrong_users(document)]
    if faults:
        raise CatalogError(faults)
    try:
        return WebConfig.model_validate(document.value, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise CatalogError(document.fault(where, said) for where, said in validation_faults(error)) from error


def tls_context(config: WebConfig, path: Path) -> ssl.SSLContext | None:
    """What connections are secured by, where the configuration (read from `path`) asks for it. Raises CatalogError."""
    if config.tls_server_config is None:
        return None
    try:
        return config.tls_server_config.context()
    except OSError as error:
        raise CatalogError([Fault(str(path), 0, 0, "tls_server_config", _unusable(error, config))]) from error


def _wrong_users(document: Document) -> Iterator[tuple[Where, str]]:
    users = document.value.get("basic_auth_users") if isinstance(document.value, dict) else None
    for name, written in users.items() if isinstance(users, dict) else ():
        if isinstance(written, str) and not _BCRYPT.match(written):
            yield ("basic_auth_users", name), "a bcrypt hash is expected, as `htpasswd -nBC 10 USER` prints it"
        if ":" in str(name):
            yield ("basic_auth_users", name), "a user's name holds no colon"


def _unusable(error: OSError, config: WebConfig) -> str:
    for path in config.files():
        try:
            path.open("rb").close()
        except OSError as cause:
            return f"{path}: {cause.strerror}"
    said = getattr(error, "reason", None) or error.strerror or "not usable"
    return f"the certificate, its key or the client CA is not usable: {said}"


Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of change of each file."""


def fingerprint(paths: tuple[Path, ...]) -> Fingerprint:
    """What changes when one of the files does. A file that is not there has zeros."""
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            found.append((str(path), 0, 0, 0))
        else:
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
