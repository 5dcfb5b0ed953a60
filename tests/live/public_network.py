"""Posts into a network of this process alone, in which public addresses are its own.

Run it by `unshare --user --map-root-user --net --mount`; it prints what came of each post.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.patience import PATIENCE_SECONDS

PUBLIC, PUBLIC_V6, INNER = "93.184.216.34", "2a00:1450:4001:80b::200e", "10.0.0.5"
HOSTS = Path("/etc/hosts")


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


def enter(folder):
    """Own addresses, and an own list of names."""
    run("ip", "link", "set", "lo", "up")
    for address in (f"{PUBLIC}/32", f"{PUBLIC_V6}/128", f"{INNER}/32", "169.254.169.254/32"):
        run("ip", "addr", "add", address, "dev", "lo")
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    run("mount", "--bind", hosts, HOSTS)


def names(**leads):
    lines = [
        f"{address} {name}.com\n" for name, found in leads.items() for address in found.split()
    ]
    HOSTS.write_text("".join(lines))


def certificate(folder, name):
    """A certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def post(url, count=1):
    from hosting.webhooks.posting import Courier, Parcel  # noqa: PLC0415

    parcels = [Parcel(key=n, body=b"{}", stamp=lambda _moment: {}) for n in range(count)]
    with Courier(allows_private=False) as courier:
        outcomes = courier.send(url, parcels).result(timeout=PATIENCE_SECONDS)
    return [[each.status, each.problem] for each in outcomes]


def tell(url):
    """What came of a post to a name, as one word or sentence."""
    [[status, problem]] = post(url)
    return status or problem


def main(folder):
    enter(folder)
    good, other = certificate(folder, "shop.com"), certificate(folder, "stranger.com")
    os.environ["SSL_CERT_FILE"] = str(good)
    from tests.hosting.webhooks.receiver import Receiver, answer  # noqa: PLC0415
    from tests.hosting.webhooks.targets_corpus import ADDRESSES  # noqa: PLC0415
    from tests.hosting.webhooks.targets_corpus import HOSTS as HOSTILE  # noqa: PLC0415

    def serving(path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return lambda plain: context.wrap_socket(plain, server_side=True)

    found = {}
    with Receiver(host=PUBLIC, wrap=serving(good)) as shop, Receiver(host="::") as inside:
        url = f"https://shop.com:{shop.port}/hook"
        names(shop=PUBLIC)
        found["public"] = tell(url)
        found["sni and host"] = shop.received[0].headers["host"] == f"shop.com:{shop.port}"
        names(shop=f"{PUBLIC} {INNER}")
        found["public and inner"] = tell(url)
        names(shop=INNER)
        found["rebound"] = tell(url)
        names(shop=PUBLIC, wrong=PUBLIC)
        found["another name"] = tell(f"https://wrong.com:{shop.port}/")
        os.environ["HTTPS_PROXY"] = os.environ["https_proxy"] = f"http://{INNER}:{inside.port}"
        found["proxy of the environment"] = tell(url)
        shop.answers = [answer(302, location=f"http://{INNER}:{inside.port}/")]
        found["redirect"] = tell(url)
        with Receiver(host=PUBLIC, wrap=serving(other)) as stranger:
            found["certificate of nobody"] = tell(f"https://shop.com:{stranger.port}/")
        tried = 0
        for host in HOSTILE:
            tried += 1
            assert tell(f"https://{host}:{inside.port}/") not in range(100, 600), host
        for number, address in enumerate(ADDRESSES):
            names(**{f"n{number}": address.partition("%")[0]})
            tried += 1
            assert tell(f"https://n{number}.com:{inside.port}/") not in range(100, 600), address
        found["hostile targets tried"] = tried
        found["connections inside"] = inside.connections
    print(json.dumps(found))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
    sys.exit()
