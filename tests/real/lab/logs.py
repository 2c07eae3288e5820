"""The one thing of a kubelet that a test may want besides pods' states: the endpoint that the Kubernetes API server reads containers' logs from.

The lab's node has none, so logs cannot be read; inside of `served` it has, and every container has written the same lines. What the API server and
Argo CD make of them is real.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.wiring.parts import SystemClock
from tests.real.lab.addresses import LOOPBACK
from tests.real.lab.client import LabClient
from tests.real.lab.kubelet import NODE

_STATUS = f"/api/v1/nodes/{NODE}/status"
_MERGE = "application/merge-patch+json"
_VALID_FOR = timedelta(days=1)


@asynccontextmanager
async def served(client: LabClient, lines: Sequence[str], folder: Path) -> AsyncIterator[list[str]]:
    """Inside of the block a container's log is `lines`, each a time (RFC 3339) and a text; answers the paths that were read. `folder`: for a certificate."""
    read: list[str] = []

    async def log(request: web.Request) -> web.Response:
        read.append(request.path)
        last = int(request.query.get("tailLines", len(lines)))
        return web.Response(text="".join(f"{line}\n" for line in lines[-last:] if last))

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", log)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0, ssl_context=await asyncio.to_thread(_credentials, folder))
    await site.start()
    port = runner.addresses[0][1]
    endpoint = {"addresses": [{"type": "InternalIP", "address": LOOPBACK}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    try:
        await client.kube.must("PATCH", _STATUS, {"status": endpoint}, content_type=_MERGE)
        yield read
    finally:
        await client.kube.must("PATCH", _STATUS, {"status": dict.fromkeys(endpoint)}, content_type=_MERGE)
        await runner.cleanup()


def _credentials(folder: Path) -> ssl.SSLContext:
    """A certificate that signs itself, as a kubelet's own does where nobody gave it one."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NODE)])
    now = SystemClock().now()
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    certificate = built.not_valid_before(now - _VALID_FOR).not_valid_after(now + _VALID_FOR).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    file = folder / "kubelet.pem"
    file.touch(mode=0o600)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
