import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, load_pem_public_key
from jwt.algorithms import OKPAlgorithm

from service.api.auth import NOBODY, InvalidTokenError, KeysFileVerifier, Principal, authenticate, bearer
from service.api.problems import ProblemError
from service.api.tokens import create_token, new_key
from service.domain.errors import SettingsError
from service.domain.model import Actor
from tests.unit.service.api.world import CHECKOUT, NOW, ORDERS, STAGING, FakeClock

KEY = new_key()
CLAIMS: Mapping[str, Any] = {
    "iss": "backout",
    "aud": "backout",
    "sub": "alice",
    "iat": int(NOW.timestamp()),
    "exp": int(NOW.timestamp()) + 60,
    "scope": "targets:read operations:read",
    "targets": ["prod:*"],
}


def keys_file(folder: Path, *entries: Mapping[str, Any]) -> Path:
    file = folder / "keys.json"
    file.write_text(json.dumps({"keys": list(entries or (KEY,))}))
    return file


def signed(claims: Mapping[str, Any], key: Mapping[str, Any] = KEY, **header: Any) -> str:
    private = load_pem_private_key(key["private"].encode(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    return jwt.encode(dict(claims), private, algorithm="EdDSA", headers={"kid": key["kid"]} | header)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def verifier(tmp_path: Path, clock: FakeClock) -> KeysFileVerifier:
    return KeysFileVerifier(keys_file(tmp_path), clock)


async def test_a_good_token_tells_who_calls_and_what_they_may(verifier: KeysFileVerifier) -> None:
    caller = await verifier.verify(signed(CLAIMS))
    assert caller == Principal(subject="alice", scopes=frozenset({"targets:read", "operations:read"}), targets=("prod:*",))
    assert caller.may("targets:read")
    assert not caller.may("stop:write")
    assert caller.sees(CHECKOUT)
    assert caller.sees(ORDERS)
    assert not caller.sees(STAGING)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"iss": "someone"}, "made for something else"),
        ({"aud": "other"}, "made for something else"),
        ({"exp": None}, "no claim exp"),
        ({"iat": None}, "no claim iat"),
        ({"sub": None}, "no claim sub"),
        ({"aud": None}, "no claim aud"),
        ({"iss": None}, "no claim iss"),
        ({"exp": "tomorrow"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": 10**30}, "exp is no time"),
        ({"exp": int(NOW.timestamp()) - 31}, "expired at 2026-05-04T12:00:36Z"),
        ({"iat": int(NOW.timestamp()) + 31}, "not valid yet"),
        ({"nbf": int(NOW.timestamp()) + 31}, "not valid yet"),
        ({"sub": "  "}, "sub is no name"),
        ({"sub": "al\nice"}, "sub is no name"),
        ({"sub": "a" * 201}, "sub is no name"),
        ({"scope": ["admin"]}, "scope must be a text"),
        ({"targets": "*"}, "targets a list"),
        ({"targets": [""]}, "targets a list"),
        ({"targets": [1]}, "targets a list"),
    ],
)
async def test_a_token_with_a_wrong_claim_proves_nothing(verifier: KeysFileVerifier, change: Mapping[str, Any], says: str) -> None:
    claims = {name: value for name, value in (dict(CLAIMS) | dict(change)).items() if value is not None}
    with pytest.raises(InvalidTokenError, match=says):
        await verifier.verify(signed(claims))


async def test_clocks_may_differ_by_half_a_minute(verifier: KeysFileVerifier) -> None:
    now = int(NOW.timestamp())
    assert (await verifier.verify(signed({**CLAIMS, "exp": now - 29}))).subject == "alice"
    assert (await verifier.verify(signed({**CLAIMS, "iat": now + 29}))).subject == "alice"


async def test_expiry_is_judged_by_the_clock_that_was_passed_in(verifier: KeysFileVerifier, clock: FakeClock) -> None:
    token = signed(CLAIMS)
    await verifier.verify(token)
    clock.at += timedelta(seconds=91)
    with pytest.raises(InvalidTokenError, match="expired"):
        await verifier.verify(token)


async def test_a_token_without_scope_or_targets_may_do_nothing(verifier: KeysFileVerifier) -> None:
    caller = await verifier.verify(signed({k: v for k, v in CLAIMS.items() if k not in {"scope", "targets"}}))
    assert (caller.scopes, caller.targets, caller.sees(CHECKOUT)) == (frozenset(), (), False)


async def test_a_token_of_a_foreign_or_unnamed_key_is_refused(verifier: KeysFileVerifier) -> None:
    for token in (signed(CLAIMS, new_key()), signed(CLAIMS, KEY, kid="other"), signed(CLAIMS, new_key(), kid=KEY["kid"])):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(token)


async def test_a_token_of_another_algorithm_is_refused_whatever_its_kid(verifier: KeysFileVerifier) -> None:
    public = load_pem_public_key(KEY["public"].encode()).public_bytes(Encoding.Raw, PublicFormat.Raw)
    hmac = jwt.encode(dict(CLAIMS), public, algorithm="HS256", headers={"kid": KEY["kid"]})
    none = jwt.encode(dict(CLAIMS), "", algorithm="none", headers={"kid": KEY["kid"]})
    for token in (hmac, none):
        with pytest.raises(InvalidTokenError, match="cannot be read, or its signature is wrong"):
            await verifier.verify(token)


async def test_what_is_no_token_is_refused_without_repeating_it(verifier: KeysFileVerifier) -> None:
    for token in ("secret-thing", "a.b.c", "x" * 9000, signed(CLAIMS)[:-4]):
        with pytest.raises(InvalidTokenError) as raised:
            await verifier.verify(token)
        assert token not in str(raised.value)


async def test_keys_may_rotate_while_the_service_runs(tmp_path: Path, clock: FakeClock) -> None:
    verifier, newer = KeysFileVerifier(keys_file(tmp_path), clock), new_key()
    with pytest.raises(InvalidTokenError):
        await verifier.verify(signed(CLAIMS, newer))
    keys_file(tmp_path, KEY, newer)
    assert (await verifier.verify(signed(CLAIMS, newer))).subject == "alice"
    keys_file(tmp_path, newer)
    with pytest.raises(InvalidTokenError):
        await verifier.verify(signed(CLAIMS))


async def test_while_the_keys_cannot_be_read_nobody_gets_in(tmp_path: Path, clock: FakeClock) -> None:
    file = keys_file(tmp_path)
    verifier = KeysFileVerifier(file, clock)
    await verifier.verify(signed(CLAIMS))
    for text in ("not json", '{"keys": []}'):
        file.write_text(text)
        with pytest.raises(ProblemError) as raised:
            await verifier.verify(signed(CLAIMS))
        assert raised.value.code == "keys_unreadable"
        assert str(tmp_path) not in raised.value.detail
    file.unlink()
    with pytest.raises(ProblemError):
        await verifier.verify(signed(CLAIMS))
    keys_file(tmp_path)
    assert (await verifier.verify(signed(CLAIMS))).subject == "alice"


async def test_a_public_key_may_stand_there_as_jwk(tmp_path: Path, clock: FakeClock) -> None:
    public = load_pem_public_key(KEY["public"].encode())
    assert isinstance(public, Ed25519PublicKey)
    jwk = OKPAlgorithm.to_jwk(public, as_dict=True)
    verifier = KeysFileVerifier(keys_file(tmp_path, {"kid": KEY["kid"], "alg": "EdDSA", "public": jwk}), clock)
    assert (await verifier.verify(signed(CLAIMS))).subject == "alice"


def ed448() -> str:
    return Ed448PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"alg": "EdDSA", "public": KEY["public"]}, "kid of its own"),
        ({"kid": "a", "alg": "RS256", "public": KEY["public"]}, "expected alg EdDSA"),
        ({"kid": "a", "alg": "EdDSA"}, "expected an Ed25519 public key"),
        ({"kid": "a", "alg": "EdDSA", "public": KEY["private"]}, "expected an Ed25519 public key"),
        ({"kid": "a", "alg": "EdDSA", "public": ed448()}, "expected an Ed25519 public key"),
        ({"kid": "a", "alg": "EdDSA", "public": {"kty": "RSA"}}, "expected an Ed25519 public key"),
    ],
)
def test_a_keys_file_that_is_not_as_it_should_be_stops_the_start(tmp_path: Path, clock: FakeClock, entry: Mapping[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        KeysFileVerifier(keys_file(tmp_path, entry), clock)


def test_two_keys_of_one_name_or_a_missing_file_stop_the_start(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(SettingsError, match=r"keys\[1\]: expected a kid of its own"):
        KeysFileVerifier(keys_file(tmp_path, KEY, KEY), clock)
    with pytest.raises(SettingsError, match="No such file"):
        KeysFileVerifier(tmp_path / "none.json", clock)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(SettingsError, match="at least one key"):
        KeysFileVerifier(tmp_path / "list.json", clock)


async def test_a_keys_file_error_never_shows_a_private_key(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(SettingsError) as raised:
        KeysFileVerifier(keys_file(tmp_path, {"kid": "a", "alg": "EdDSA", "public": KEY["private"]}), clock)
    assert "PRIVATE" not in str(raised.value)


@pytest.mark.parametrize(
    ("subject", "actor"),
    [
        ("alice", Actor(kind="user", name="alice")),
        ("user:alice", Actor(kind="user", name="alice")),
        ("service:portal", Actor(kind="service", name="portal")),
        ("automation:backout", Actor(kind="user", name="automation:backout")),
        ("alert:HighErrorRate", Actor(kind="user", name="alert:HighErrorRate")),
        ("service:", Actor(kind="user", name="service:")),
    ],
)
def test_a_subject_cannot_pretend_to_be_an_alert_or_backout_itself(subject: str, actor: Actor) -> None:
    assert Principal(subject=subject, scopes=frozenset(), targets=()).actor == actor


def test_admin_stands_for_every_scope_and_for_no_further_target() -> None:
    admin = Principal(subject="root", scopes=frozenset({"admin"}), targets=("staging:*",))
    admin.need("stop:write")
    assert not admin.sees(CHECKOUT)
    with pytest.raises(ProblemError, match=r"speaks for staging:\*"):
        admin.need_all_targets()
    Principal(subject="root", scopes=frozenset(), targets=("staging:*", "*")).need_all_targets()


@pytest.mark.parametrize(("header", "token"), [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("", ""), ("Bearer", "")])
def test_the_token_is_what_follows_bearer(header: str, token: str) -> None:
    assert bearer(header) == token


async def test_a_401_tells_the_client_library_what_was_wrong(verifier: KeysFileVerifier) -> None:
    with pytest.raises(ProblemError) as missing:
        await authenticate("", verifier)
    assert missing.value.headers["WWW-Authenticate"] == 'Bearer realm="backout"'
    with pytest.raises(ProblemError) as wrong:
        await authenticate("Bearer nonsense", verifier)
    assert wrong.value.headers["WWW-Authenticate"] == 'Bearer realm="backout", error="invalid_token"'
    assert (await authenticate(f"Bearer {signed(CLAIMS)}", verifier)).subject == "alice"


def test_nobody_may_do_and_see_nothing() -> None:
    assert not NOBODY.may("targets:read")
    assert not NOBODY.sees(CHECKOUT)


async def test_what_create_token_makes_is_what_the_verifier_takes(verifier: KeysFileVerifier) -> None:
    token = create_token({"keys": [KEY]}, subject="service:portal", scopes=["admin"], targets=["*"], expires=timedelta(days=1), now=NOW)
    caller = await verifier.verify(token)
    assert (caller.actor.kind, caller.sees_all, caller.may("holds:end")) == ("service", True, True)
