"""A container registry on loopback: the pull side of the OCI distribution API, with images that are small but whole.

Images are put in by `push`, in Python; uploading over HTTP is left out, nothing here needs it.
"""

import base64
import binascii
import enum
import gzip
import hashlib
import hmac
import io
import json
import secrets
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from aiohttp import web

from integrations.sandbox.http import LoopbackServer, rfc3339
from service.domain.ports import Clock

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
TOKEN_LIVES = timedelta(seconds=300)


class Auth(enum.Enum):
    """How the registry asks who is there."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"


class Lie(enum.Enum):
    """What a broken registry or proxy says that is not so."""

    HEADER = "header"  # Docker-Content-Digest names another digest than that of the body
    BODY = "body"  # asked for a digest, it gives other bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may pull what: `pull` holds repository patterns such as `shop/*`."""

    password: str
    pull: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    repositories: frozenset[str]
    expires_at: datetime


@dataclass(slots=True, kw_only=True)
class _Repository:
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # digest -> (media type, bytes)
    tags: dict[str, str] = field(default_factory=dict)


def digest_of(content: bytes) -> str:
    """`sha256:<hex>` of the content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _layer(text: str) -> tuple[bytes, str]:
    """A layer with one file, as (compressed bytes, digest of the uncompressed tar); the same text gives the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("etc/release")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    tar = packed.getvalue()
    return gzip.compress(tar, mtime=0), digest_of(tar)


class SandboxRegistry(LoopbackServer):
    """The registry. `accounts` is read when `auth` is not NONE; under BEARER somebody without credentials gets a token that opens nothing."""

    def __init__(
        self, *, clock: Clock, auth: Auth = Auth.NONE, accounts: Mapping[str, Account] | None = None, service: str = "sandbox-registry", port: int = 0
    ) -> None:
        super().__init__(port=port)
        self._clock = clock
        self._auth = auth
        self._accounts = dict(accounts or {})
        self._service = service
        self._repositories: dict[str, _Repository] = {}
        self._tokens: dict[str, _Token] = {}
        self._lie: Lie | None = None

    # -- what is in it

    def push(self, repository: str, tag: str, labels: Mapping[str, str] | None = None, *, platform: str = "linux/amd64") -> str:
        """Put an image (configuration with the labels, one layer, manifest) under the tag and answer its digest. The tag moves if it was taken."""
        content = self._image(repository, tag, labels or {}, platform)
        return self._keep(repository, tag, MANIFEST, content)

    def push_index(
        self, repository: str, tag: str, labels: Mapping[str, str] | None = None, *, platforms: Sequence[str] = ("linux/amd64", "linux/arm64")
    ) -> str:
        """Put an image for several platforms under the tag and answer the digest of the index."""
        manifests = []
        for platform in platforms:
            content = self._image(repository, tag, labels or {}, platform)
            system, _, architecture = platform.partition("/")
            described = {"mediaType": MANIFEST, "digest": self._keep(repository, None, MANIFEST, content), "size": len(content)}
            manifests.append({**described, "platform": {"architecture": architecture, "os": system}})
        return self._keep(repository, tag, INDEX, _compact({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))

    def delete(self, repository: str, digest: str) -> None:
        """Take a manifest away, with the tags that point to it; KeyError when it is not there."""
        kept = self._repositories[repository]
        del kept.manifests[digest]
        kept.tags = {tag: target for tag, target in kept.tags.items() if target != digest}

    def lie(self, about: Lie | None) -> None:
        """Fault: manifests are answered with this lie, until None."""
        self._lie = about

    def _image(self, repository: str, tag: str, labels: Mapping[str, str], platform: str) -> bytes:
        system, _, architecture = platform.partition("/")
        layer, diff_id = _layer(f"{repository}:{tag} {platform}\n")
        configuration = _compact(
            {
                "architecture": architecture,
                "os": system,
                "config": {"Labels": dict(labels)},
                "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                "history": [{"created_by": "sandbox"}],
            }
        )
        blobs = self._repositories.setdefault(repository, _Repository()).blobs
        blobs[digest_of(configuration)] = configuration
        blobs[digest_of(layer)] = layer
        return _compact(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": digest_of(configuration), "size": len(configuration)},
                "layers": [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)}],
            }
        )

    def _keep(self, repository: str, tag: str | None, media_type: str, content: bytes) -> str:
        digest = digest_of(content)
        kept = self._repositories.setdefault(repository, _Repository())
        kept.manifests[digest] = (media_type, content)
        if tag is not None:
            kept.tags[tag] = digest
        return digest

    # -- what it says

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """The pull side of the distribution API, and the token server it points to."""
        return (
            web.get("/v2/", self._base),
            web.get("/v2/{repository:.+}/manifests/{reference}", self._manifest),
            web.get("/v2/{repository:.+}/blobs/{digest}", self._blob),
            web.get("/v2/{repository:.+}/tags/list", self._tags),
            web.get("/token", self._token),
        )

    async def _base(self, request: web.Request) -> web.Response:
        return self._challenge(request, None) or self._answer(b"{}", "application/json")

    async def _manifest(self, request: web.Request) -> web.Response:
        repository, reference = request.match_info["repository"], request.match_info["reference"]
        if (challenge := self._challenge(request, repository)) is not None:
            return challenge
        kept = self._repositories.get(repository)
        if kept is None:
            return self._error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": repository})
        if ":" in reference and not reference.startswith("sha256:"):
            return self._error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", {"digest": reference})
        digest = kept.tags.get(reference, reference)
        if digest not in kept.manifests:
            return self._error(404, "MANIFEST_UNKNOWN", "manifest unknown", f"unknown {'manifest' if ':' in reference else 'tag'}={reference}")
        media_type, content = kept.manifests[digest]
        # The reference implementation has no wildcard here: a client that does not name the OCI type is told the manifest is unknown.
        accepted = {part.split(";")[0].strip() for header in request.headers.getall("Accept", []) for part in header.split(",")}
        if media_type not in accepted:
            kind = "OCI index" if media_type == INDEX else "OCI manifest"
            return self._error(404, "MANIFEST_UNKNOWN", f"{kind} found, but Accept header does not support {kind}s", None)
        if self._lie is Lie.BODY:
            content += b"\n"
        said = digest_of(b"something else") if self._lie is Lie.HEADER else digest
        return self._answer(content, media_type, {"Docker-Content-Digest": said, "Etag": f'"{said}"'})

    async def _blob(self, request: web.Request) -> web.Response:
        repository, digest = request.match_info["repository"], request.match_info["digest"]
        if (challenge := self._challenge(request, repository)) is not None:
            return challenge
        kept = self._repositories.get(repository)
        if kept is None or digest not in kept.blobs:
            return self._error(404, "BLOB_UNKNOWN", "blob unknown to registry", {"digest": digest})
        return self._answer(kept.blobs[digest], "application/octet-stream", {"Docker-Content-Digest": digest, "Etag": f'"{digest}"'})

    async def _tags(self, request: web.Request) -> web.Response:
        repository = request.match_info["repository"]
        if (challenge := self._challenge(request, repository)) is not None:
            return challenge
        if (kept := self._repositories.get(repository)) is None:
            return self._error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": repository})
        return self._answer(_compact({"name": repository, "tags": sorted(kept.tags)}), "application/json")

    async def _token(self, request: web.Request) -> web.Response:
        """The token server: gives what of the asked scopes the account may have; a wrong password is 401, a missing right is a token without it."""
        account: Account | None = None
        if "Authorization" in request.headers and (account := self._account(request)) is None:
            return self._error(401, "UNAUTHORIZED", "authentication required", None)
        if request.query.get("service") != self._service:
            return self._error(400, "UNSUPPORTED", "unknown service", {"service": request.query.get("service", "")})
        granted = set()
        for scope in (scope for value in request.query.getall("scope", []) for scope in value.split()):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind == "repository" and "pull" in actions.split(",") and account is not None and any(fnmatchcase(name, pattern) for pattern in account.pull):
                granted.add(name)
        token, issued_at = secrets.token_urlsafe(24), self._clock.now()
        self._tokens[token] = _Token(repositories=frozenset(granted), expires_at=issued_at + TOKEN_LIVES)
        document = {"token": token, "access_token": token, "expires_in": int(TOKEN_LIVES.total_seconds()), "issued_at": rfc3339(issued_at)}
        return web.json_response(document)

    def _account(self, request: web.Request) -> Account | None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        account = self._accounts.get(user)
        return account if account is not None and hmac.compare_digest(account.password.encode(), password.encode()) else None

    def _challenge(self, request: web.Request, repository: str | None) -> web.Response | None:
        """None when the request may go on, else the answer that says what to bring."""
        if self._auth is Auth.NONE:
            return None
        if self._auth is Auth.BASIC:
            account = self._account(request)
            if account is None:
                return self._error(401, "UNAUTHORIZED", "authentication required", None, {"WWW-Authenticate": f'Basic realm="{self._service}"'})
            if repository is not None and not any(fnmatchcase(repository, pattern) for pattern in account.pull):
                return self._error(403, "DENIED", "requested access to the resource is denied", {"name": repository})
            return None
        says = f'Bearer realm="{self.url}/token",service="{self._service}"' + (f',scope="repository:{repository}:pull"' if repository is not None else "")
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        token = self._tokens.get(presented) if scheme.lower() == "bearer" else None
        if token is None or self._clock.now() >= token.expires_at:
            wrong = ',error="invalid_token"' if presented else ""
            return self._error(401, "UNAUTHORIZED", "authentication required", None, {"WWW-Authenticate": says + wrong})
        if repository is not None and repository not in token.repositories:
            return self._error(
                401,
                "UNAUTHORIZED",
                "authentication required",
                [{"Type": "repository", "Name": repository, "Action": "pull"}],
                {"WWW-Authenticate": f'{says},error="insufficient_scope"'},
            )
        return None

    def _answer(self, content: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> web.Response:
        named = {"Docker-Distribution-Api-Version": "registry/2.0", "Content-Type": media_type, **(headers or {})}
        return web.Response(body=content, headers=named)  # aiohttp itself drops the body of a HEAD and keeps its length

    def _error(self, status: int, code: str, message: str, detail: object, headers: Mapping[str, str] | None = None) -> web.Response:
        document = {"errors": [{"code": code, "message": message, "detail": detail}]}
        named = {"Docker-Distribution-Api-Version": "registry/2.0", "Content-Type": "application/json", **(headers or {})}
        return web.Response(status=status, body=_compact(document) + b"\n", headers=named)
