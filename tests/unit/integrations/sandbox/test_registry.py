import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from integrations.sandbox.registry import INDEX, MANIFEST, Account, Auth, Lie, SandboxRegistry, digest_of

ACCEPT = {"Accept": f"{MANIFEST}, {INDEX}"}
LABELS = {"org.opencontainers.image.revision": "9c1e2ab", "org.opencontainers.image.source": "https://git.example/shop/checkout"}


class HandClock:
    def __init__(self) -> None:
        self.at = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(skip_auto_headers=("Accept",)) as session:
        yield session


@pytest.fixture
async def registry() -> AsyncIterator[SandboxRegistry]:
    registry = SandboxRegistry(clock=HandClock())
    await registry.start()
    yield registry
    await registry.stop()


async def _get(http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    async with http.get(url, headers=headers) as response:
        return response.status, dict(response.headers), await response.read()


async def test_an_image_can_be_pulled_down_to_its_labels_and_every_digest_is_true(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    digest = registry.push("shop/checkout", "v2.5.0", LABELS)
    status, headers, content = await _get(http, f"{registry.url}/v2/shop/checkout/manifests/v2.5.0", ACCEPT)
    assert (status, headers["Docker-Content-Digest"], headers["Content-Type"], digest_of(content)) == (200, digest, MANIFEST, digest)
    manifest = json.loads(content)
    blobs = {}
    for described in (manifest["config"], *manifest["layers"]):
        status, headers, blob = await _get(http, f"{registry.url}/v2/shop/checkout/blobs/{described['digest']}")
        assert (status, digest_of(blob), len(blob), headers["Docker-Content-Digest"]) == (200, described["digest"], described["size"], described["digest"])
        blobs[described["mediaType"]] = blob
    configuration = json.loads(blobs[manifest["config"]["mediaType"]])
    assert configuration["config"]["Labels"] == LABELS
    tar = gzip.decompress(blobs[manifest["layers"][0]["mediaType"]])
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert archive.getnames() == ["etc/release"]


async def test_a_head_has_the_digest_and_length_and_no_body(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    digest = registry.push("checkout", "v1")
    for reference in ("v1", digest):
        async with http.head(f"{registry.url}/v2/checkout/manifests/{reference}", headers=ACCEPT) as response:
            assert (response.status, response.headers["Docker-Content-Digest"]) == (200, digest)
            assert int(response.headers["Content-Length"]) > 100
            assert await response.read() == b""


def test_the_same_push_gives_the_same_digest_and_another_label_another() -> None:
    registry = SandboxRegistry(clock=HandClock())
    first = registry.push("a", "v1", LABELS)
    assert registry.push("a", "v1", LABELS) == first
    assert registry.push("a", "v1", {**LABELS, "org.opencontainers.image.revision": "other"}) != first


async def test_a_moved_tag_leaves_the_old_image_reachable_by_digest(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    old = registry.push("checkout", "latest", {"release": "1"})
    new = registry.push("checkout", "latest", {"release": "2"})
    _, headers, _ = await _get(http, f"{registry.url}/v2/checkout/manifests/latest", ACCEPT)
    assert headers["Docker-Content-Digest"] == new != old
    status, _, content = await _get(http, f"{registry.url}/v2/checkout/manifests/{old}", ACCEPT)
    assert (status, digest_of(content)) == (200, old)


async def test_an_image_for_several_platforms_is_an_index_of_whole_images(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    digest = registry.push_index("checkout", "v1", LABELS)
    _, headers, content = await _get(http, f"{registry.url}/v2/checkout/manifests/v1", ACCEPT)
    assert (headers["Content-Type"], digest_of(content)) == (INDEX, digest)
    platforms = set()
    for described in json.loads(content)["manifests"]:
        status, _, inner = await _get(http, f"{registry.url}/v2/checkout/manifests/{described['digest']}", ACCEPT)
        assert (status, digest_of(inner), len(inner)) == (200, described["digest"], described["size"])
        platforms.add(described["platform"]["architecture"])
    assert platforms == {"amd64", "arm64"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("manifests/v9", 404, "MANIFEST_UNKNOWN"),
        ("manifests/sha256:" + "0" * 64, 404, "MANIFEST_UNKNOWN"),
        ("manifests/md5:abc", 400, "DIGEST_INVALID"),
        ("blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
    ],
)
async def test_what_is_not_there_is_said_in_the_registrys_words(
    registry: SandboxRegistry, http: aiohttp.ClientSession, path: str, status: int, code: str
) -> None:
    registry.push("checkout", "v1")
    got, _, content = await _get(http, f"{registry.url}/v2/checkout/{path}", ACCEPT)
    assert (got, json.loads(content)["errors"][0]["code"]) == (status, code)


async def test_an_unknown_repository_is_another_answer_than_an_unknown_tag(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    status, _, content = await _get(http, f"{registry.url}/v2/nobody/manifests/v1", ACCEPT)
    assert (status, json.loads(content)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


async def test_a_client_that_does_not_name_the_oci_type_is_told_the_manifest_is_unknown(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    registry.push("checkout", "v1")
    for accept in ("*/*", "application/vnd.docker.distribution.manifest.v2+json"):
        status, _, content = await _get(http, f"{registry.url}/v2/checkout/manifests/v1", {"Accept": accept})
        assert status == 404
        assert "Accept header does not support" in json.loads(content)["errors"][0]["message"]


async def test_a_deleted_image_is_gone_by_tag_and_by_digest(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    digest = registry.push("checkout", "v1")
    kept = registry.push("checkout", "v2")
    registry.delete("checkout", digest)
    for reference, expected in (("v1", 404), (digest, 404), ("v2", 200), (kept, 200)):
        status, _, _ = await _get(http, f"{registry.url}/v2/checkout/manifests/{reference}", ACCEPT)
        assert status == expected
    _, _, content = await _get(http, f"{registry.url}/v2/checkout/tags/list")
    assert json.loads(content) == {"name": "checkout", "tags": ["v2"]}
    with pytest.raises(KeyError):
        registry.delete("checkout", digest)


async def test_a_lying_registry_can_be_caught_by_its_digest(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    digest = registry.push("checkout", "v1")
    registry.lie(Lie.HEADER)
    _, headers, content = await _get(http, f"{registry.url}/v2/checkout/manifests/{digest}", ACCEPT)
    assert headers["Docker-Content-Digest"] != digest == digest_of(content)
    registry.lie(Lie.BODY)
    _, headers, content = await _get(http, f"{registry.url}/v2/checkout/manifests/{digest}", ACCEPT)
    assert headers["Docker-Content-Digest"] == digest != digest_of(content)
    registry.lie(None)
    _, headers, content = await _get(http, f"{registry.url}/v2/checkout/manifests/{digest}", ACCEPT)
    assert headers["Docker-Content-Digest"] == digest == digest_of(content)


async def test_too_many_requests_come_with_the_time_to_wait(registry: SandboxRegistry, http: aiohttp.ClientSession) -> None:
    registry.fail_with(429, times=1, headers={"Retry-After": "30"})
    status, headers, _ = await _get(http, f"{registry.url}/v2/")
    assert (status, headers["Retry-After"]) == (429, "30")
    status, headers, _ = await _get(http, f"{registry.url}/v2/")
    assert (status, headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


async def test_basic_authentication_asks_refuses_and_denies(http: aiohttp.ClientSession) -> None:
    registry = SandboxRegistry(clock=HandClock(), auth=Auth.BASIC, accounts={"backout": Account(password="made-up", pull=("shop/*",))})
    await registry.start()
    registry.push("shop/checkout", "v1")
    registry.push("other/app", "v1")
    manifest = f"{registry.url}/v2/shop/checkout/manifests/v1"
    status, headers, _ = await _get(http, manifest, ACCEPT)
    assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="sandbox-registry"')
    wrong, right = aiohttp.encode_basic_auth("backout", "wrong"), aiohttp.encode_basic_auth("backout", "made-up")
    assert (await _get(http, manifest, {**ACCEPT, "Authorization": wrong}))[0] == 401
    assert (await _get(http, manifest, {**ACCEPT, "Authorization": right}))[0] == 200
    assert (await _get(http, f"{registry.url}/v2/other/app/manifests/v1", {**ACCEPT, "Authorization": right}))[0] == 403
    await registry.stop()


async def _token(http: aiohttp.ClientSession, challenge: str, authorization: str | None) -> tuple[int, str]:
    said = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    headers = {} if authorization is None else {"Authorization": authorization}
    async with http.get(said["realm"], params={"service": said["service"], "scope": said["scope"]}, headers=headers) as response:
        document = await response.json()
        return response.status, document.get("token", "")


async def test_the_token_flow_of_real_registries(http: aiohttp.ClientSession) -> None:
    clock = HandClock()
    registry = SandboxRegistry(clock=clock, auth=Auth.BEARER, accounts={"backout": Account(password="made-up", pull=("shop/*",))})
    await registry.start()
    registry.push("shop/checkout", "v1")
    registry.push("other/app", "v1")
    manifest = f"{registry.url}/v2/shop/checkout/manifests/v1"
    right = aiohttp.encode_basic_auth("backout", "made-up")
    status, headers, content = await _get(http, manifest, ACCEPT)
    challenge = headers["WWW-Authenticate"]
    assert challenge == f'Bearer realm="{registry.url}/token",service="sandbox-registry",scope="repository:shop/checkout:pull"'
    assert (status, json.loads(content)["errors"][0]["code"]) == (401, "UNAUTHORIZED")

    assert await _token(http, challenge, aiohttp.encode_basic_auth("backout", "wrong")) == (401, "")
    status, token = await _token(http, challenge, right)
    assert (await _get(http, manifest, {**ACCEPT, "Authorization": f"Bearer {token}"}))[0] == 200

    other = f"{registry.url}/v2/other/app/manifests/v1"
    status, headers, _ = await _get(http, other, {**ACCEPT, "Authorization": f"Bearer {token}"})
    assert status == 401
    assert headers["WWW-Authenticate"].endswith('error="insufficient_scope"')
    status, poor = await _token(http, headers["WWW-Authenticate"], right)
    assert status == 200, "a missing right is a token without it, not a refusal"
    assert (await _get(http, other, {**ACCEPT, "Authorization": f"Bearer {poor}"}))[0] == 401
    status, anonymous = await _token(http, challenge, None)
    assert (await _get(http, manifest, {**ACCEPT, "Authorization": f"Bearer {anonymous}"}))[0] == 401

    clock.at += timedelta(seconds=300)
    status, headers, _ = await _get(http, manifest, {**ACCEPT, "Authorization": f"Bearer {token}"})
    assert status == 401
    assert headers["WWW-Authenticate"].endswith('error="invalid_token"')
    async with http.get(f"{registry.url}/token", params={"service": "somebody-else"}) as response:
        assert response.status == 400
    await registry.stop()


async def test_a_malformed_basic_credential_is_a_wrong_one(http: aiohttp.ClientSession) -> None:
    registry = SandboxRegistry(clock=HandClock(), auth=Auth.BASIC, accounts={"backout": Account(password="made-up")})
    await registry.start()
    for authorization in ("Basic !!!", "Basic /w==", "Bearer made-up", "Basic"):
        assert (await _get(http, f"{registry.url}/v2/", {"Authorization": authorization}))[0] == 401
    await registry.stop()
