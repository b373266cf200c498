import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from catalog.fault import CatalogError
from exporter.web_config import fingerprint, load_web_config, openssl_name, tls_context

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds `server.crt` (which is also its own CA) and `server.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    for file, protection in (
        ("server.key", serialization.NoEncryption()),
        ("locked.key", serialization.BestAvailableEncryption(b"secret")),
    ):
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        (tmp_path / file).write_bytes(key.private_bytes(*form))
    return tmp_path


def load(folder: Path, text: str) -> ssl.SSLContext | None:
    path = folder / "web.yml"
    path.write_text(text)
    return tls_context(load_web_config(path), path)


def test_an_empty_file_is_plain_http_for_everybody(folder: Path) -> None:
    assert load(folder, "") is None
    assert load(folder, f"basic_auth_users: {{ann: {HASH}}}\n") is None


def test_tls_as_the_toolkit_has_it(folder: Path) -> None:
    context = load(folder, TLS)
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    clients = "  client_ca_file: server.crt\n  client_auth_type: "
    context = load(folder, f"{TLS}{clients}RequireAndVerifyClientCert\n")
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    context = load(folder, f"{TLS}{clients}VerifyClientCertIfGiven\n  min_version: TLS13\n")
    assert context is not None
    assert (context.verify_mode, context.minimum_version) == (ssl.CERT_OPTIONAL, ssl.TLSVersion.TLSv1_3)


def test_every_suite_that_go_and_openssl_share_is_known_by_its_name() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for suite in (
        "TLS_RSA_WITH_AES_128_CBC_SHA",
        "TLS_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ):
        name = openssl_name(suite)
        assert name is not None
        context.set_ciphers(name)
        assert name in {each["name"] for each in context.get_ciphers()}
    assert openssl_name("TLS_AES_128_GCM_SHA256") is None


def test_chosen_suites_and_curves_are_used(folder: Path) -> None:
    chosen = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [CurveP384]\n"
    context = load(folder, TLS + chosen + "  max_version: TLS12\n")
    assert context is not None
    older = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert older == ["ECDHE-ECDSA-AES128-GCM-SHA256"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_config: {cert_file: server.crt}\n", '"key_file" is missing'),
        (TLS.replace("cert_file", "certfile"), 'did you mean "cert_file"'),
        (TLS.replace("server.crt", "other.crt"), "other.crt: No such file"),
        (TLS.replace("server.key", "server.crt"), "the certificate, its key or the client CA is not usable"),
        (TLS.replace("server.key", "locked.key"), "the certificate, its key or the client CA is not usable"),
        (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", '"client_ca_file" is missing'),
        (TLS + "  client_auth_type: RequireAnyClientCert\n", "is verified or not asked for"),
        (TLS + "  client_ca_file: server.crt\n", "not asked for certificates"),
        (TLS + "  client_auth_type: Whoever\n", "write one of NoClientCert"),
        (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above"),
        (TLS + "  min_version: SSL3\n", "TLS12"),
        (TLS + "  cipher_suites: [RC4]\n", "'RC4' is not known"),
        (TLS + "  curve_preferences: [X25519, CurveP256]\n", "at most 1"),
        ("basic_auth_users: {ann: hunter2}\n", "a bcrypt hash is expected"),
        (f'basic_auth_users: {{"a:b": {HASH}}}\n', "holds no colon"),
        ("http_server_config: {headers: {X-Own: a}}\n", "X-Own"),
        ("tls_config: {}\n", 'did you mean "tls_server_config"'),
        ("- a\n", "a mapping"),
    ],
)
def test_what_is_wrong_is_told_and_no_secret_is(folder: Path, text: str, said: str) -> None:
    with pytest.raises(CatalogError) as raised:
        load(folder, text)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_changes_has_another_fingerprint(folder: Path) -> None:
    path = folder / "web.yml"
    seen = [fingerprint((path,))]
    path.write_text("a")
    seen.append(fingerprint((path,)))
    path.write_text("ab")
    seen.append(fingerprint((path,)))
    (folder / "new.yml").write_text("ab")
    (folder / "new.yml").replace(path)
    seen.append(fingerprint((path,)))
    assert len(set(seen)) == 4
