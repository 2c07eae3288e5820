"""Asks OCI registries whether an image can still be pulled, and what its labels say. Only registries that the operator configured, only by digest.

Nothing is believed that the bytes do not prove: manifests and configurations are hashed. What an image's absence means is decided in the domain.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import asyncio
import base64
import hashlib
import json
import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, quote, urljoin, urlsplit
from weakref import WeakValueDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from integrations import pacing
from integrations.http import Address, Answer, Http, credential, without_credential
from service.domain.errors import BackoutError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import ImageConfig, Manifest
from service.domain.ports import Checked, Clock

OCI_MANIFEST, DOCKER_MANIFEST = "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX, DOCKER_LIST = "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
CONFIGURATIONS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
ACCEPT = f"{OCI_MANIFEST}, {DOCKER_MANIFEST}, {OCI_INDEX}, {DOCKER_LIST}"
NOT_THERE = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN"})
MOST_BYTES = 8 * 1024 * 1024
MOST_REDIRECTS = 3
MOST_REMEMBERED = 4096
TOKEN_LIVES_S = 60  # what the standard says when the token server does not
DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_REPOSITORY = re.compile(r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
_REDIRECTS, _NO_HEAD = frozenset({301, 302, 303, 307, 308}), frozenset({405, 501})


class Registry(BaseModel):
    """One registry that may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    host: str = Field(description="Host as image references spell it, with the port if they do: registry.example:5000. docker.io for short names.")
    url: Address | None = Field(default=None, description="Address of the registry's API, without /v2. Default: https:// and the host.")
    username: str = Field(default="", description="User name that goes with password_file. Default: none, which asks as anybody.")
    password_file: Path | None = Field(default=None, description="File with the password or personal token of `username`, read for each use.")
    token_file: Path | None = Field(default=None, description="File with a bearer token that the registry itself takes; instead of username.")
    ca_file: Path | None = Field(default=None, description="PEM file of the authority that signed the registry's certificate. Default: the system's.")
    auth_hosts: tuple[str, ...] = Field(default=(), description="Other hosts that may be given the password as token server, e.g. auth.docker.io.")
    blob_hosts: tuple[str, ...] = Field(
        default=(), description="Other hosts that the registry may redirect to for content; shell patterns. They are sent no credential."
    )

    @field_validator("host")
    @classmethod
    def _plain_host(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:\d+)?", value):
            raise ValueError("host is the first part of image references, such as registry.example:5000; the address goes into `url`")
        return "docker.io" if value.lower() in DOCKER_HUB else value.lower()

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if bool(self.username) != (self.password_file is not None):
            raise ValueError("username and password_file belong together")
        if self.token_file is not None and self.username:
            raise ValueError("set token_file or username with password_file, not both")
        return self

    @property
    def address(self) -> str:
        """The address to ask."""
        return self.url or ("https://registry-1.docker.io" if self.host == "docker.io" else f"https://{self.host}")


class Settings(BaseModel):
    """The registries that may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)

    registries: tuple[Registry, ...] = Field(default=(), description="The registries; an image from any other host is unknown. Default: none.")
    platform: str = Field(
        default="linux/amd64", pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$", description="Which image of an index has the labels. Default: linux/amd64."
    )
    timeout_s: float = Field(default=10.0, gt=0, le=120, description="Seconds until one request counts as not answered. Default: 10.")
    requests_per_minute: int = Field(default=240, gt=0, description="Requests a minute to one registry at most; beyond it the answer is unknown. Default: 240.")
    good_for_s: float = Field(default=300.0, gt=0, description="Seconds for which `it can be pulled` may be believed; not asked again before. Default: 300.")

    @field_validator("registries")
    @classmethod
    def _hosts_once(cls, value: tuple[Registry, ...]) -> tuple[Registry, ...]:
        if len({registry.host for registry in value}) != len(value):
            raise ValueError("each host may be configured once")
        return value


MINUTE, SOON = timedelta(minutes=1), timedelta(milliseconds=50)


class _UnknownError(Exception):
    """Nobody could find out; carries the two texts of an Absent."""

    def __init__(self, why: str, clears: str = "") -> None:
        super().__init__(why)
        self.why, self.clears = why, clears


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    host: str
    repository: str
    digest: str


class _Descriptor(BaseModel):
    media_type: str = Field(default="", alias="mediaType")
    digest: str = Field(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")  # it becomes part of a path
    platform: dict[str, Any] | None = None


class _Document(BaseModel):
    """A manifest or an index, whichever it is."""

    media_type: str = Field(default="", alias="mediaType")
    config: _Descriptor | None = None
    manifests: list[_Descriptor] | None = None


class _Inner(BaseModel):
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _Configuration(BaseModel):
    config: _Inner | None = None


class _Errors(BaseModel):
    class One(BaseModel):
        """One error of the registry's list."""

        code: str
        message: str = ""

    errors: list[One]


class Registries:
    """A `FactSource` for image manifests and image labels. One image is asked for once at a time, and not again while the answer may be believed."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._clients = {registry.host: _Client(registry, settings, clock) for registry in settings.registries}
        self._locks = WeakValueDictionary[tuple[str, str], asyncio.Lock]()  # each lives as long as somebody holds or awaits it
        self._remembered: OrderedDict[tuple[str, str], Known[Any]] = OrderedDict()

    @property
    def platform(self) -> str:
        """Whose labels are read of an image for several platforms."""
        return self._settings.platform

    @property
    def kinds(self) -> frozenset[str]:
        """Image manifests, image labels."""
        return frozenset({"image manifest", "image labels"})

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact; Absent for whatever went wrong outside."""
        if key.kind not in self.kinds or not isinstance(key.subject, str):
            return Absent(f"no registry can answer the {key.kind}")
        try:
            image = _parsed(key.subject)
            return await self._read_once(key, self._client(image.host), image)
        except _UnknownError as unknown:
            return Absent(unknown.why, unknown.clears)
        except BackoutError as error:
            return Absent(str(error), "the registry answering at the `url` of its entry under `registries`")

    def _client(self, host: str) -> "_Client":
        if host not in self._clients:
            raise _UnknownError(f"the registry {host} is not configured", f"an entry with host: {host} under `registries`")
        return self._clients[host]

    async def _read_once(self, key: Key[Any], client: "_Client", image: _Image) -> Known[Any]:
        name = key.kind, str(key.subject)
        lock = self._locks.get(name) or self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            known = self._remembered.get(name)
            if known is None or self._clock.now() - known.evidence.read_at > known.good_for / 2:
                known = await (self._manifest(client, image) if key.kind == "image manifest" else self._labels(client, image))
                self._remembered[name] = known
                self._remembered.move_to_end(name)
                while len(self._remembered) > MOST_REMEMBERED:
                    self._remembered.popitem(last=False)
            return known

    async def check(self) -> Sequence[Checked]:
        """One line for each registry: whether it answers /v2/ and takes the credential."""
        return tuple([await client.check() for client in self._clients.values()])

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()

    # -- facts

    async def _manifest(self, client: "_Client", image: _Image) -> Known[Manifest]:
        at, what = self._clock.now(), f"HEAD /v2/{image.repository}/manifests/{image.digest}"
        answer = await client.ask("HEAD", image.repository, f"manifests/{image.digest}")
        if answer.status == _OK and (said := answer.headers.get("docker-content-digest")):
            if said != image.digest:
                raise _UnknownError(
                    f"the registry {image.host} was asked for {_short(image.digest)} and says it has {said[:80]}", "a registry that keeps digests"
                )
            return _known(Manifest(digest=image.digest), image.host, what, at, self._settings.good_for_s, image.digest)
        if answer.status not in _NO_HEAD | {_OK, _NOT_FOUND}:
            raise _refusal(client.registry, answer)
        # A HEAD has no body: only the GET can say why there is nothing, or prove what there is.
        what = what.replace("HEAD", "GET")
        answer = await client.ask("GET", image.repository, f"manifests/{image.digest}")
        if _says_not_there(answer):
            return _known(Manifest(digest=None), image.host, what, at, self._settings.good_for_s / 5)
        _prove(client.registry, answer, image.digest)
        return _known(Manifest(digest=image.digest), image.host, what, at, self._settings.good_for_s, image.digest)

    async def _labels(self, client: "_Client", image: _Image) -> Known[ImageConfig]:
        at, digest, picked = self._clock.now(), image.digest, ""
        document = await self._document(client, image, digest)
        if document.manifests is not None and (document.media_type in INDEXES or document.config is None):
            digest = self._pick(image, document.manifests)
            picked = f", of which {self._settings.platform} is {_short(digest)}"
            document = await self._document(client, image, digest)
        if document.config is None or document.config.media_type not in CONFIGURATIONS:
            raise _UnknownError(f"{_short(digest)} in {image.repository} has no image configuration, so it has no labels", "a container image")
        blob = await client.ask("GET", image.repository, f"blobs/{document.config.digest}", follow=True)
        _prove(client.registry, blob, document.config.digest)
        try:
            configuration = _Configuration.model_validate_json(blob.body)
        except ValidationError as error:
            raise _UnknownError(f"the configuration of {_short(digest)} in {image.repository} cannot be read", "a container image") from error
        labels = {name: without_credential(text) for name, text in ((configuration.config.labels if configuration.config else None) or {}).items()}
        value = ImageConfig(
            labels=labels,
            revision=labels.get("org.opencontainers.image.revision", ""),
            repository=labels.get("org.opencontainers.image.source", ""),
            version=labels.get("org.opencontainers.image.version", ""),
        )
        what = f"configuration {_short(document.config.digest)} of {image.repository}@{_short(image.digest)}{picked}"
        # Content named by its hash does not change: a day is only a bound on what is kept.
        return _known(value, image.host, what, at, timedelta(days=1).total_seconds(), document.config.digest)

    async def _document(self, client: "_Client", image: _Image, digest: str) -> _Document:
        answer = await client.ask("GET", image.repository, f"manifests/{digest}")
        if _says_not_there(answer):
            raise _UnknownError(f"the registry {image.host} has no {_short(digest)} in {image.repository}, so its labels are gone", "the image being there")
        _prove(client.registry, answer, digest)
        try:
            document = _Document.model_validate_json(answer.body)
        except ValidationError as error:
            raise _UnknownError(f"the manifest {_short(digest)} in {image.repository} is in no known form", "an OCI or Docker v2 manifest") from error
        return document

    def _pick(self, image: _Image, manifests: Sequence[_Descriptor]) -> str:
        system, architecture, *variant = self._settings.platform.split("/")
        fits = [
            one.digest
            for one in manifests
            if one.platform is not None
            and (one.platform.get("os"), one.platform.get("architecture")) == (system, architecture)
            and (not variant or one.platform.get("variant") == variant[0])
        ]
        if len(set(fits)) != 1:
            count = "no image" if not fits else f"{len(set(fits))} images"
            raise _UnknownError(f"the index {_short(image.digest)} in {image.repository} has {count} for {self._settings.platform}", "the setting `platform`")
        return fits[0]


class _Client:
    """Speaks to one registry: its budget, its challenges, its redirects."""

    def __init__(self, registry: Registry, settings: Settings, clock: Clock) -> None:
        self.registry = registry
        self._settings = settings
        self._clock = clock
        self._http = self._open(registry.address)
        self._others: dict[str, Http] = {}
        self._tokens: dict[str, tuple[str, datetime]] = {}
        self._basic = False
        self._sent: deque[datetime] = deque()

    def _open(self, address: str) -> Http:
        return Http(base_url=address, ca_file=self.registry.ca_file, timeout=self._settings.timeout_s)

    async def close(self) -> None:
        for http in (self._http, *self._others.values()):
            await http.close()

    async def check(self) -> Checked:
        what = f"registry {self.registry.host}"
        try:
            answer = await self._exchange("GET", "/v2/", "")
        except (_UnknownError, BackoutError) as error:
            return Checked(what=what, well="no", says=str(error), fix=f"set url, credential and ca_file of {self.registry.host} under `registries`")
        if answer.status != _OK:
            refused = _refusal(self.registry, answer)
            return Checked(what=what, well="no", says=refused.why, fix=refused.clears)
        return Checked(what=what, well="ok", says="the registry answers" + (" and takes the credential" if self._known_credential() else " to anybody"))

    async def ask(self, method: str, repository: str, rest: str, *, follow: bool = False) -> Answer:
        """One question about a repository; with `follow` the content may come from one of `blob_hosts`. A redirect that is not followed is an answer."""
        answer = await self._exchange(method, f"/v2/{repository}/{rest}", f"repository:{repository}:pull")
        for _ in range(MOST_REDIRECTS):
            if not follow or answer.status not in _REDIRECTS:
                break
            answer = await self._fetch_elsewhere(answer.url, answer.headers.get("location", ""))
        return answer

    async def _exchange(self, method: str, path: str, scope: str) -> Answer:
        """One request, and a second one if the registry asks who is there in a way that may be answered."""
        headers = {"Accept": ACCEPT, **self._authorization(scope)}
        answer = await self._send(self._http, method, path, headers)
        if answer.status != _UNAUTHORIZED or not await self._answer_challenge(answer, scope):
            return answer
        return await self._send(self._http, method, path, {"Accept": ACCEPT, **self._authorization(scope)})

    async def _send(self, http: Http, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        now = self._forget()
        while pacing.PACE.get() is not None and len(self._sent) >= max(1, self._settings.requests_per_minute // 2):
            # What nobody waits for leaves half of the minute to an alert, and waits for its own.
            await self._clock.sleep(max(MINUTE - (now - self._sent[0]), SOON).total_seconds())
            now = self._forget()
        if len(self._sent) >= self._settings.requests_per_minute:
            why = f"the registry {self.registry.host} was asked {len(self._sent)} times within a minute, which is our own limit"
            raise _UnknownError(why, "waiting a minute, or a higher `requests_per_minute`")
        self._sent.append(now)
        return await http.request(method, path, headers=headers)

    def _forget(self) -> datetime:
        """What was sent more than a minute ago counts no more; answers now."""
        now = self._clock.now()
        while self._sent and not timedelta(0) <= now - self._sent[0] < MINUTE:
            self._sent.popleft()
        return now

    # -- credentials

    def _known_credential(self) -> bool:
        return bool(self.registry.username) or self.registry.token_file is not None

    def _authorization(self, scope: str) -> Mapping[str, str]:
        if self.registry.token_file is not None:
            return {"Authorization": f"Bearer {credential(self.registry.token_file)}"}
        if self._basic:
            return self._password()
        token = self._tokens.get(scope)
        return {"Authorization": f"Bearer {token[0]}"} if token is not None and self._clock.now() < token[1] else {}

    def _password(self) -> Mapping[str, str]:
        if self.registry.password_file is None:
            return {}
        pair = f"{self.registry.username}:{credential(self.registry.password_file)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    async def _answer_challenge(self, answer: Answer, scope: str) -> bool:
        """Do what the registry asks for, if we can and may: True when asking again makes sense."""
        scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
        if self.registry.token_file is not None:
            return False
        if scheme.lower() == "basic":
            again, self._basic = not self._basic and bool(self.registry.username), bool(self.registry.username)
            return again
        if scheme.lower() != "bearer":
            return False
        asked = {name.lower(): quoted.replace('\\"', '"') or plain for name, quoted, plain in _PARAMETER.findall(rest)}
        realm, service = asked.get("realm", ""), asked.get("service", "")
        self._tokens[scope] = await self._token(realm, service, scope)
        return True

    async def _token(self, realm: str, service: str, scope: str) -> tuple[str, datetime]:
        """A token from the registry's token server, which must be at the registry's own host or at one that the operator named."""
        parts, home = _readable(realm), urlsplit(self.registry.address)
        if parts is None or (parts.hostname != home.hostname and parts.hostname not in self.registry.auth_hosts):
            host = parts.hostname if parts else "an address that cannot be read"
            why = f"the registry {self.registry.host} wants the credential sent to {host}"
            raise _UnknownError(why, f"{host} in `auth_hosts` of {self.registry.host}, if it is trusted" if parts else "a registry that names its token server")
        if parts.scheme != "https" and home.scheme == "https":
            raise _UnknownError(f"the registry {self.registry.host} wants the credential sent unencrypted to {parts.hostname}", "a token server with https")
        query = "&".join(f"{name}={quote(text, safe='')}" for name, text in (("service", service), ("scope", scope)) if text)
        joined = "&".join(part for part in (parts.query, query) if part)
        answer = await self._send(self._elsewhere(parts), "GET", f"{parts.path}?{joined}", self._password())
        if answer.status != _OK:
            why = f"the token server of {self.registry.host} answered {answer.status}"
            raise _UnknownError(why, f"username and password_file of {self.registry.host}" if answer.status in {401, 403} else "the token server answering")
        document = answer.json()
        token = (document.get("token") or document.get("access_token")) if isinstance(document, dict) else None
        if not isinstance(token, str) or not token or not token.isprintable():
            raise _UnknownError(f"the token server of {self.registry.host} answered without a token", "a token server as the distribution standard describes")
        lives = document.get("expires_in")
        seconds = lives if isinstance(lives, int) and 0 < lives < timedelta(days=1).total_seconds() else TOKEN_LIVES_S
        return token, self._clock.now() + timedelta(seconds=seconds * 0.8)

    # -- other hosts

    def _elsewhere(self, parts: SplitResult) -> Http:
        base = f"{parts.scheme}://{parts.netloc}"
        if base not in self._others:
            self._others[base] = self._open(base)
        return self._others[base]

    async def _fetch_elsewhere(self, at: str, location: str) -> Answer:
        """Content from where the registry points to, without a credential; its hash is checked afterwards."""
        try:
            parts, home = _readable(urljoin(at, location)), urlsplit(self.registry.address)
        except ValueError:
            parts, home = None, urlsplit(self.registry.address)
        if parts is None:
            raise _UnknownError(f"the registry {self.registry.host} points to content at an address that cannot be read", "a registry that redirects to https")
        host = parts.hostname or ""
        if host != home.hostname and not any(fnmatchcase(host, pattern) for pattern in self.registry.blob_hosts):
            raise _UnknownError(
                f"the registry {self.registry.host} keeps the content at {host}, which is not configured", f"{host} in `blob_hosts` of {self.registry.host}"
            )
        if parts.scheme != "https" and home.scheme == "https":
            raise _UnknownError(f"the registry {self.registry.host} points to unencrypted content at {host}", "a registry that redirects to https")
        return await self._send(self._elsewhere(parts), "GET", parts.path + (f"?{parts.query}" if parts.query else ""), {})


def _readable(address: str) -> SplitResult | None:
    """The parts of an absolute http(s) address without credentials; None for anything else."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname and not parts.username and not parts.password else None


def _parsed(image: str) -> _Image:
    """Read `repository@digest` as container runtimes do: without a host it is Docker Hub's."""
    name, at, digest = image.partition("@")
    if not at or not _DIGEST.fullmatch(digest):
        raise _UnknownError(f"{image[:200]} names no digest, and a tag is no evidence", "the image's digest")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, repository = first.lower(), rest
    else:
        host, repository = "docker.io", name if slash else f"library/{name}"
    host = "docker.io" if host in DOCKER_HUB else host
    repository = repository.partition(":")[0]
    if not _REPOSITORY.fullmatch(repository):
        raise _UnknownError(f"{image[:200]} is no image reference", "a reference as a container runtime would take it")
    return _Image(host=host, repository=repository, digest=digest)


def _prove(registry: Registry, answer: Answer, digest: str) -> None:
    """Raise unless the body is exactly what the digest names."""
    if answer.status != _OK:
        raise _refusal(registry, answer)
    if len(answer.body) > MOST_BYTES:
        raise _UnknownError(f"the registry {registry.host} answered {len(answer.body)} bytes for {_short(digest)}, more than is read", "a smaller manifest")
    algorithm, _, expected = digest.partition(":")
    if not _DIGEST.fullmatch(digest) or hashlib.new(algorithm, answer.body).hexdigest() != expected:
        why = f"the registry {registry.host} was asked for {_short(digest)} and gave other bytes"
        raise _UnknownError(why, "a registry, and proxies before it, that keep content as it is")
    said = answer.headers.get("docker-content-digest", digest)
    if said != digest:
        raise _UnknownError(f"the registry {registry.host} was asked for {_short(digest)} and says it has {said[:80]}", "a registry that keeps digests")


def _errors(answer: Answer) -> Sequence[_Errors.One]:
    try:
        return _Errors.model_validate_json(answer.body).errors
    except ValidationError:
        return ()


def _says_not_there(answer: Answer) -> bool:
    """Whether it is the registry itself that says so in the standard's words; a proxy's 404, or a complaint about our Accept, is not that."""
    errors = _errors(answer)
    return answer.status == _NOT_FOUND and bool(errors) and all(one.code in NOT_THERE and "accept header" not in one.message.lower() for one in errors)


def _refusal(registry: Registry, answer: Answer) -> _UnknownError:
    said = next((f": {one.code} {one.message}"[:200] for one in _errors(answer)), "")
    why = f"the registry {registry.host} answered {answer.status}{said}"
    match answer.status:
        case 401 | 403:
            return _UnknownError(why, f"a credential of {registry.host} under `registries` that may pull this repository")
        case 404:
            return _UnknownError(why, f"a registry's own answer: is `url` of {registry.host} right?")
        case 429:
            return _UnknownError(why, "waiting; or a credential with a higher limit")
        case status if status in _REDIRECTS:
            parts = _readable(answer.headers.get("location", ""))
            return _UnknownError(f"{why}, a redirect to {parts.hostname if parts else 'somewhere'}", f"the right `url` of {registry.host}")
        case _:
            return _UnknownError(why, f"the registry {registry.host} answering")


def _short(digest: str) -> str:
    return digest[:19]


def _known(value: Any, host: str, what: str, at: datetime, good_for: float, digest: str = "") -> Known[Any]:
    digest = digest or "sha256:" + hashlib.sha256(json.dumps(str(value)).encode()).hexdigest()
    return Known(value=value, evidence=Evidence(source=f"registry {host}", what=what, read_at=at, digest=digest), good_for=timedelta(seconds=good_for))


def build(settings: Settings, clock: Clock) -> Registries:
    """The fact source."""
    return Registries(settings, clock)
