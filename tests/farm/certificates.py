"""Certificates for the farm: one good, the others each wrong in one way."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: ``good``; ``expired``; ``elsewhere``: another host's; ``selfsigned``; ``unknown``: of an issuer
#: nobody trusts.
KINDS = ("good", "expired", "elsewhere", "selfsigned", "unknown")

_DAY = datetime.timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[str, ec.EllipticCurvePrivateKey],
    *,
    host: str | None,
    ends: datetime.timedelta,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer[0]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 30 * _DAY)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer[1], hashes.SHA256())


def write(folder: Path) -> None:
    """Write ``ca.pem`` and one ``KIND.pem`` (key and certificate) of each kind."""
    ca, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _certificate("farm root", ca, ("farm root", ca), host=None, ends=_DAY)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for kind in KINDS:
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = {
            "selfsigned": (kind, key),
            "unknown": ("somebody", stranger),
        }.get(kind, ("farm root", ca))
        made = _certificate(
            kind,
            key,
            issuer,
            host="other.example" if kind == "elsewhere" else "*.farm.test",
            ends=-_DAY if kind == "expired" else _DAY,
        )
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        path = folder / f"{kind}.pem"
        path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
