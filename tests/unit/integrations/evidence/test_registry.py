import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from integrations.evidence.registry import ACCEPT, Registries, Registry, Settings, build
from integrations.sandbox.http import LoopbackServer
from integrations.sandbox.registry import Account, Auth, Lie, SandboxRegistry
from service.domain import keys
from service.domain.facts import Absent, Key, Known

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
HOST = "registry.example:5000"
LABELS = {
    "org.opencontainers.image.revision": "a" * 40,
    "org.opencontainers.image.source": "https://git.example/shop/web",
    "org.opencontainers.image.version": "2.5.0",
}


class HandClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Lab:
    """Starts servers and sources, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.folder = folder
        self._stops: list[Callable[[], Awaitable[None]]] = []

    async def registry(self, auth: Auth = Auth.NONE, accounts: Mapping[str, Account] | None = None) -> SandboxRegistry:
        server = SandboxRegistry(clock=self.clock, auth=auth, accounts=accounts)
        await self.start(server)
        return server

    async def start(self, server: LoopbackServer) -> None:
        await server.start()
        self._stops.append(server.stop)

    def source(
        self, url: str, *, password: str | None = None, token: str | None = None, settings: Mapping[str, Any] | None = None, **registry: Any
    ) -> Registries:
        if password is not None:
            (self.folder / "password").write_text(f"{password}\n")
            registry |= {"username": "backout", "password_file": self.folder / "password"}
        if token is not None:
            (self.folder / "token").write_text(token)
            registry |= {"token_file": self.folder / "token"}
        source = build(Settings(registries=(Registry(host=HOST, url=url, **registry),), timeout_s=2.0, **(settings or {})), self.clock)
        self._stops.insert(0, source.close)
        return source

    async def stop(self) -> None:
        for stop in self._stops:
            await stop()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    await lab.stop()


def image(digest: str, repository: str = "shop/web") -> str:
    return f"{HOST}/{repository}@{digest}"


async def known(source: Registries, key: Key[Any]) -> Known[Any]:
    fact = await source.read(key)
    assert isinstance(fact, Known), fact
    return fact


async def absent(source: Registries, key: Key[Any]) -> Absent:
    fact = await source.read(key)
    assert isinstance(fact, Absent), fact
    assert "\n" not in fact.why
    return fact


NOWHERE = "sha256:" + "0" * 64


# --- whether it is there ----------------------------------------------------------------------------------------------------


async def test_an_image_that_can_be_pulled_has_its_digest(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    fact = await known(lab.source(server.url), keys.manifest(image(digest)))
    assert fact.value == keys.Manifest(digest=digest)
    assert fact.evidence.source == f"registry {HOST}"
    assert fact.evidence.what == f"HEAD /v2/shop/web/manifests/{digest}"
    assert [seen.method for seen in server.seen] == ["HEAD"]


async def test_an_index_can_be_pulled_too(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push_index("shop/web", "2.5.0")
    assert (await known(lab.source(server.url), keys.manifest(image(digest)))).value.digest == digest


async def test_an_image_that_the_registry_does_not_know_is_a_fact(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    server.push("shop/web", "2.5.1", {"other": "yes"})
    server.delete("shop/web", digest)
    source = lab.source(server.url)
    assert (await known(source, keys.manifest(image(digest)))).value == keys.Manifest(digest=None)
    assert (await known(source, keys.manifest(image(NOWHERE, "shop/none")))).value == keys.Manifest(digest=None)


async def test_a_404_that_is_not_the_registrys_own_is_unknown(lab: Lab) -> None:
    server = await lab.registry()
    source = lab.source(server.url)
    server.fail_with(404, body=b"<html>not found</html>")
    assert "answered 404" in (await absent(source, keys.manifest(image(NOWHERE)))).why
    accept = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "OCI index found, but Accept header does not support OCI indexes"}]}
    server.fail_with(404, body=json.dumps(accept).encode())
    assert "Accept header" in (await absent(source, keys.manifest(image(NOWHERE)))).why
    server.fail_with(404, body=b'{"errors":[{"code":"NOT_FOUND","message":"project shop not found"}]}')
    assert "project shop" in (await absent(source, keys.manifest(image(NOWHERE)))).why
    server.fail_with(404, body=b'{"errors":[]}')
    assert "answered 404" in (await absent(source, keys.manifest(image(NOWHERE)))).why


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 502, 302, 204])
@pytest.mark.parametrize("key", [keys.manifest, keys.image_config])
async def test_any_other_answer_is_unknown(lab: Lab, status: int, key: Callable[[str], Key[Any]]) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    server.fail_with(status)
    assert str(status) in (await absent(lab.source(server.url), key(image(digest)))).why


async def test_a_registry_that_is_away_is_unknown(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    await server.go_down()
    assert "could not be reached" in (await absent(lab.source(server.url), keys.manifest(image(digest)))).why


async def test_a_registry_that_names_another_digest_is_not_believed(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    server.lie(Lie.HEADER)
    source = lab.source(server.url)
    assert "says it has" in (await absent(source, keys.manifest(image(digest)))).why
    assert "says it has" in (await absent(source, keys.image_config(image(digest)))).why


async def test_a_registry_that_gives_other_bytes_is_not_believed(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    server.lie(Lie.BODY)
    assert "gave other bytes" in (await absent(lab.source(server.url), keys.image_config(image(digest)))).why


@pytest.mark.parametrize("status", [405, 501])
async def test_without_head_the_bytes_prove_the_image(lab: Lab, status: int) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    server.fail_with(status, times=1)
    fact = await known(lab.source(server.url), keys.manifest(image(digest)))
    assert fact.value.digest == digest
    assert fact.evidence.what.startswith("GET ")


# --- labels -----------------------------------------------------------------------------------------------------------------


async def test_labels_come_from_the_configuration_of_that_digest(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0", LABELS)
    server.push("shop/web", "2.5.0", {"org.opencontainers.image.revision": "b" * 40})
    fact = await known(lab.source(server.url), keys.image_config(image(digest)))
    assert fact.value == keys.ImageConfig(labels=LABELS, revision="a" * 40, repository="https://git.example/shop/web", version="2.5.0")


async def test_an_image_without_labels_says_nothing(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    assert (await known(lab.source(server.url), keys.image_config(image(digest)))).value == keys.ImageConfig(labels={}, revision="", repository="")


async def test_an_index_gives_the_labels_of_one_platform_and_says_so(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push_index("shop/web", "2.5.0", LABELS)
    fact = await known(lab.source(server.url), keys.image_config(image(digest)))
    assert fact.value.revision == "a" * 40
    assert "linux/amd64 is sha256:" in fact.evidence.what


async def test_an_index_without_the_platform_is_unknown(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push_index("shop/web", "2.5.0", LABELS, platforms=("linux/arm64", "windows/amd64"))
    missing = await absent(lab.source(server.url), keys.image_config(image(digest)))
    assert "no image for linux/amd64" in missing.why
    assert "platform" in missing.clears
    arm = lab.source(server.url, settings={"platform": "linux/arm64"})
    assert (await known(arm, keys.image_config(image(digest)))).value.revision == "a" * 40


async def test_labels_of_an_image_that_is_gone_are_unknown(lab: Lab) -> None:
    server = await lab.registry()
    server.push("shop/web", "2.5.0")
    assert "labels are gone" in (await absent(lab.source(server.url), keys.image_config(image(NOWHERE)))).why


async def test_a_credential_in_a_label_is_taken_out(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0", {"org.opencontainers.image.source": "https://ci:hunter2@git.example/shop/web"})
    fact = await known(lab.source(server.url), keys.image_config(image(digest)))
    assert fact.value.repository == "https://git.example/shop/web"
    assert "hunter2" not in str(fact)


class Content(LoopbackServer):
    """Serves manifests and blobs exactly as given, and may redirect for blobs."""

    def __init__(self, *, blobs_at: str = "") -> None:
        super().__init__()
        self.things: dict[str, bytes] = {}
        self.blobs_at = blobs_at
        self.accepted: list[str] = []

    def keep(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.things[digest] = content
        return digest

    def keep_json(self, document: object) -> str:
        return self.keep(json.dumps(document).encode())

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return (web.get("/v2/shop/web/{kind}/{digest}", self._give), web.get("/blobs/{digest}", self._give))

    async def _give(self, request: web.Request) -> web.Response:
        digest = request.match_info["digest"]
        self.accepted.append(request.headers.get("Accept", ""))
        if request.match_info.get("kind") == "blobs" and self.blobs_at:
            return web.Response(status=307, headers={"Location": f"{self.blobs_at}/blobs/{digest}?signature=s3cr3t"})
        return web.Response(body=self.things[digest])

    def image(self, labels: object) -> str:
        config = self.keep_json({"config": {"Labels": labels}})
        return self.keep_json({"schemaVersion": 2, "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config}})


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"not json", "no known form"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "no image configuration"),
        (b'{"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "' + NOWHERE.encode() + b'"}}', "no image configuration"),
        (b'{"config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "../../../secret"}}', "no known form"),
        (b'{"manifests": []}', "no image for linux/amd64"),
    ],
)
async def test_a_manifest_of_another_kind_has_no_labels(lab: Lab, document: bytes, expected: str) -> None:
    server = Content()
    await lab.start(server)
    assert expected in (await absent(lab.source(server.url), keys.image_config(image(server.keep(document))))).why


async def test_an_index_that_is_ambiguous_is_unknown(lab: Lab) -> None:
    server = Content()
    await lab.start(server)
    one = {"digest": server.image({}), "platform": {"os": "linux", "architecture": "amd64"}}
    two = {"digest": server.image({"a": "b"}), "platform": {"os": "linux", "architecture": "amd64", "variant": "v3"}}
    digest = server.keep_json({"manifests": [one, two, {"digest": NOWHERE}]})
    assert "2 images for linux/amd64" in (await absent(lab.source(server.url), keys.image_config(image(digest)))).why
    third = lab.source(server.url, settings={"platform": "linux/amd64/v3"})
    assert (await known(third, keys.image_config(image(digest)))).value.labels == {"a": "b"}


async def test_every_manifest_type_is_accepted(lab: Lab) -> None:
    server = Content()
    await lab.start(server)
    await known(lab.source(server.url), keys.image_config(image(server.image(None))))
    assert server.accepted[0] == ACCEPT
    assert [kind in ACCEPT for kind in ("image.manifest.v1", "image.index.v1", "manifest.v2", "manifest.list.v2")] == [True] * 4


async def test_content_at_another_host_is_fetched_only_if_the_operator_named_it_and_without_a_credential(lab: Lab) -> None:
    storage, server = Content(), Content()
    await lab.start(storage)
    await lab.start(server)
    server.blobs_at = storage.url.replace("127.0.0.1", "localhost")
    digest = server.image({"a": "b"})
    storage.things |= server.things
    refused = await absent(lab.source(server.url, token="t0ken"), keys.image_config(image(digest)))
    assert "localhost" in refused.why
    assert "blob_hosts" in refused.clears
    assert not storage.seen
    allowed = lab.source(server.url, token="t0ken", blob_hosts=("local*",))
    fact = await known(allowed, keys.image_config(image(digest)))
    assert fact.value.labels == {"a": "b"}
    assert server.seen[-1].authorized
    assert not storage.seen[-1].authorized
    assert "s3cr3t" not in str(fact)


# --- who is there -----------------------------------------------------------------------------------------------------------

SHOP = {"backout": Account(password="hunter2", pull=("shop/*",))}


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.BEARER])
async def test_a_challenge_is_answered_with_the_operators_credential(lab: Lab, auth: Auth) -> None:
    server = await lab.registry(auth, SHOP)
    digest = server.push("shop/web", "2.5.0", LABELS)
    source = lab.source(server.url, password="hunter2")
    assert (await known(source, keys.manifest(image(digest)))).value.digest == digest
    assert (await known(source, keys.image_config(image(digest)))).value.revision == "a" * 40
    assert len([seen for seen in server.seen if not seen.authorized]) == 1  # the first, which was challenged


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.BEARER])
@pytest.mark.parametrize("password", [None, "wrong"])
async def test_a_missing_or_wrong_credential_is_unknown_not_absence(lab: Lab, auth: Auth, password: str | None) -> None:
    server = await lab.registry(auth, SHOP)
    digest = server.push("shop/web", "2.5.0")
    fact = await absent(lab.source(server.url, password=password), keys.manifest(image(digest)))
    assert "401" in fact.why
    assert "wrong" not in f"{fact}"


@pytest.mark.parametrize("auth", [Auth.BASIC, Auth.BEARER])
async def test_a_credential_without_the_right_is_unknown_not_absence(lab: Lab, auth: Auth) -> None:
    server = await lab.registry(auth, SHOP)
    digest = server.push("bank/core", "1.0.0")
    fact = await absent(lab.source(server.url, password="hunter2"), keys.manifest(image(digest, "bank/core")))
    assert "40" in fact.why
    assert "credential" in fact.clears


async def test_a_token_is_used_again_until_it_expires(lab: Lab) -> None:
    server = await lab.registry(Auth.BEARER, SHOP)
    source = lab.source(server.url, password="hunter2")
    for number in range(3):
        await known(source, keys.manifest(image(server.push("shop/web", f"1.0.{number}"))))
    assert [seen.path for seen in server.seen].count("/token") == 1
    lab.clock.time += timedelta(seconds=301)
    await known(source, keys.manifest(image(server.push("shop/web", "1.1.0"))))
    assert [seen.path for seen in server.seen].count("/token") == 2


async def test_the_password_goes_to_no_host_that_the_operator_did_not_name(lab: Lab) -> None:
    thief = Content()
    await lab.start(thief)
    server = await lab.registry()
    server.fail_with(401, headers={"WWW-Authenticate": f'Bearer realm="{thief.url.replace("127.0.0.1", "localhost")}/token",service="x"'})
    fact = await absent(lab.source(server.url, password="hunter2"), keys.manifest(image(NOWHERE)))
    assert "localhost" in fact.why
    assert "auth_hosts" in fact.clears
    assert not thief.seen


async def test_a_token_server_that_the_operator_named_is_asked(lab: Lab) -> None:
    server = await lab.registry(Auth.BEARER, SHOP)
    digest = server.push("shop/web", "2.5.0")
    front = await lab.registry()
    realm = f"{server.url.replace('127.0.0.1', 'localhost')}/token"
    front.fail_with(401, times=1, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="sandbox-registry",scope="repository:shop/web:pull"'})
    front.push("shop/web", "2.5.0")
    source = lab.source(front.url, password="hunter2", auth_hosts=("localhost",))
    assert (await known(source, keys.manifest(image(digest)))).value.digest == digest
    assert server.seen[-1].authorized


@pytest.mark.parametrize("realm", ["", "ftp://127.0.0.1/token", "http://a:b@127.0.0.1/token", "http://[", "/token"])
async def test_a_token_server_that_cannot_be_read_is_unknown(lab: Lab, realm: str) -> None:
    server = await lab.registry()
    server.fail_with(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})
    assert "wants the credential sent to" in (await absent(lab.source(server.url), keys.manifest(image(NOWHERE)))).why


async def test_a_token_of_the_registry_itself_is_sent_as_it_is(lab: Lab) -> None:
    server = await lab.registry(Auth.BEARER, SHOP)
    digest = server.push("shop/web", "2.5.0")
    fact = await absent(lab.source(server.url, token="t0ken"), keys.manifest(image(digest)))
    assert "401" in fact.why
    assert [(seen.path != "/token", seen.authorized) for seen in server.seen] == [(True, True)]


# --- which images may be asked for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("nginx", "docker.io"),
        ("library/nginx", "docker.io"),
        ("index.docker.io/library/nginx", "docker.io"),
        ("localhost/web", "localhost"),
        ("Other.example/web", "other.example"),
    ],
)
async def test_an_image_of_a_registry_that_is_not_configured_names_the_setting(lab: Lab, reference: str, host: str) -> None:
    fact = await absent(lab.source("http://127.0.0.1:1"), keys.manifest(f"{reference}@{NOWHERE}"))
    assert host in fact.why
    assert f"host: {host} under `registries`" in fact.clears


@pytest.mark.parametrize(
    "reference", [f"{HOST}/shop/web:2.5.0", f"{HOST}/shop/web", f"{HOST}/shop/web@sha256:abc", f"{HOST}/shop/../../x@{NOWHERE}", f"@{NOWHERE}", ""]
)
async def test_what_names_no_image_by_digest_is_unknown(lab: Lab, reference: str) -> None:
    await absent(lab.source("http://127.0.0.1:1"), keys.manifest(reference))


async def test_a_short_name_is_docker_hubs_library(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("library/nginx", "1")
    source = build(Settings(registries=(Registry(host="index.docker.io", url=server.url),)), lab.clock)
    fact = await source.read(keys.manifest(f"nginx:1@{digest}"))
    await source.close()
    assert isinstance(fact, Known)


async def test_a_key_of_another_kind_is_absent(lab: Lab) -> None:
    source = lab.source("http://127.0.0.1:1")
    assert "can answer" in (await absent(source, Key("series", ("x", ())))).why
    assert source.kinds == {"image manifest", "image labels"}


# --- sparing the registry ---------------------------------------------------------------------------------------------------


async def test_an_image_is_asked_for_once_while_the_answer_may_be_believed(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    source = lab.source(server.url)
    await asyncio.gather(*(known(source, keys.manifest(image(digest))) for _ in range(5)))
    lab.clock.time += timedelta(seconds=149)
    await known(source, keys.manifest(image(digest)))
    assert len(server.seen) == 1
    lab.clock.time += timedelta(seconds=2)
    await known(source, keys.manifest(image(digest)))
    assert len(server.seen) == 2


async def test_an_unknown_is_asked_again(lab: Lab) -> None:
    server = await lab.registry()
    digest = server.push("shop/web", "2.5.0")
    source = lab.source(server.url)
    server.fail_with(503)
    await absent(source, keys.manifest(image(digest)))
    server.heal()
    await known(source, keys.manifest(image(digest)))


async def test_beyond_the_budget_the_answer_is_unknown(lab: Lab) -> None:
    server = await lab.registry()
    source = lab.source(server.url, settings={"requests_per_minute": 2})
    digests = [server.push("shop/web", f"1.0.{number}") for number in range(3)]
    for digest in digests[:2]:
        await known(source, keys.manifest(image(digest)))
    assert "within a minute" in (await absent(source, keys.manifest(image(digests[2])))).why
    lab.clock.time += timedelta(seconds=60)
    await known(source, keys.manifest(image(digests[2])))


# --- doctor and settings ----------------------------------------------------------------------------------------------------


async def test_doctor_sees_each_registry(lab: Lab) -> None:
    server = await lab.registry(Auth.BEARER, SHOP)
    (well,) = await lab.source(server.url, password="hunter2").check()
    assert (well.well, well.what) == ("ok", f"registry {HOST}")
    (wrong,) = await lab.source(server.url, password="nope").check()
    assert (wrong.well, "401" in wrong.says, bool(wrong.fix)) == ("no", True, True)
    await server.go_down()
    (away,) = await lab.source(server.url).check()
    assert away.well == "no"


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "https://registry.example"},
        {"host": "registry.example", "username": "backout"},
        {"host": "registry.example", "password_file": "p"},
        {"host": "registry.example", "username": "b", "password_file": "p", "token_file": "t"},
        {"host": "registry.example", "url": "https://u:hunter2@registry.example"},
        {"host": "registry.example", "unknown": 1},
    ],
)
def test_a_wrong_setting_is_refused_without_repeating_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="registries") as raised:
        Settings.model_validate({"registries": [wrong]})
    assert "hunter2" not in str(raised.value)


def test_a_host_is_configured_once() -> None:
    with pytest.raises(ValueError, match="once"):
        Settings.model_validate({"registries": [{"host": "docker.io"}, {"host": "index.docker.io"}]})


def test_without_a_url_the_host_is_asked_encrypted() -> None:
    assert Registry(host="registry.example").address == "https://registry.example"
    assert Registry(host="docker.io").address == "https://registry-1.docker.io"
