"""Container images as the lab needs them: written, pushed and read through the OCI distribution API.

An image is one small layer and a configuration with labels; nobody runs it. The labels tell the lab's kubelet and its
traffic how the release behaves (`READY`, `ERRORS`), so a release's behaviour is part of its digest, as in life.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

READY = "dev.backout.lab.ready"  # "never", or "slowN": ready N seconds after the start; absent: ready at once
ERRORS = "dev.backout.lab.errors"  # the share of requests that this release answers with 500, such as "0.31"
VERSION = "org.opencontainers.image.version"

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest_of(content: bytes) -> str:
    """`sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image reference taken apart: `HOST/PATH[:TAG][@DIGEST]`; `host` is empty where the reference names none."""

    host: str
    path: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.path}" if self.host else self.path


def parse_reference(text: str) -> Reference:
    """Take a reference apart by the rules of the container world: only a first part with "." or ":" is a host."""
    name, _, digest = text.partition("@")
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, path = (first, rest) if is_host else ("", name)
    folder, slash, last = path.rpartition("/")
    last, _, tag = last.partition(":")
    return Reference(host=host, path=f"{folder}{slash}{last}", tag=tag, digest=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """The three blobs of an image, ready to be pushed."""

    layer: bytes
    config: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        """What the image is known by: the digest of its manifest."""
        return digest_of(self.manifest)


def build_image(content: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> BuiltImage:
    """A valid image of one layer with the file `/app`. The same arguments give the same digest, on any day."""
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("app")
        entry.size = len(content.encode())
        tar.addfile(entry, io.BytesIO(content.encode()))
    layer = gzip.compress(tarred.getvalue(), mtime=0)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/app"], "Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tarred.getvalue())]},
            "history": [{"created_by": "the lab"}],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, config),
        "layers": [_descriptor(LAYER_TYPE, layer)],
    } | ({"annotations": dict(annotations)} if annotations else {})
    return BuiltImage(layer=layer, config=config, manifest=_json(manifest))


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """What a registry says about a reference."""

    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """The lab's registry. `host` (`host:port`) is how image references name it. Errors are aiohttp's."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, host: str) -> None:
        self._session, self._url, self.host = session, url, host

    async def push(self, repository: str, image: BuiltImage, *, tag: str = "") -> str:
        """Upload an image to `repository` (a path without the host); answers its digest."""
        await self.push_blob(repository, image.layer)
        await self.push_blob(repository, image.config)
        return await self.push_manifest(repository, image.manifest, MANIFEST_TYPE, tag=tag)

    async def push_blob(self, repository: str, content: bytes) -> str:
        """Upload one blob; answers its digest."""
        digest = digest_of(content)
        async with self._session.post(f"{self._url}/v2/{repository}/blobs/uploads/", raise_for_status=True) as response:
            upload = response.headers["Location"]
        target = upload if upload.startswith("http") else self._url + upload
        address = f"{target}{'&' if '?' in target else '?'}digest={digest}"
        async with self._session.put(address, data=content, headers={"Content-Type": "application/octet-stream"}, raise_for_status=True):
            return digest

    async def push_manifest(self, repository: str, manifest: bytes, media_type: str, *, tag: str = "") -> str:
        """Upload a manifest whose blobs are there, under a tag or else only by digest; answers its digest."""
        digest = digest_of(manifest)
        address = f"{self._url}/v2/{repository}/manifests/{tag or digest}"
        async with self._session.put(address, data=manifest, headers={"Content-Type": media_type}, raise_for_status=True):
            return digest

    async def look_up(self, reference: Reference) -> FoundImage | None:
        """The digest and the configuration's labels of an image of this registry; None when it has no such image."""
        wanted = reference.digest or reference.tag or "latest"
        base = f"{self._url}/v2/{reference.path}"
        async with self._session.get(f"{base}/manifests/{wanted}", headers={"Accept": MANIFEST_TYPE}) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            raw = await response.read()
        async with self._session.get(f"{base}/blobs/{json.loads(raw)['config']['digest']}", raise_for_status=True) as response:
            config = json.loads(await response.read())
        return FoundImage(digest=digest_of(raw), labels=(config.get("config") or {}).get("Labels") or {})
