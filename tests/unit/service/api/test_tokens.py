import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from service.api.auth import read_keys
from service.api.tokens import create_token, new_key
from tests.unit.service.api.world import NOW

KEY = new_key()
GOOD: Mapping[str, Any] = {"subject": "alice", "scopes": ["targets:read"], "targets": ["prod:*"], "expires": timedelta(hours=1), "now": NOW}


def test_a_fresh_key_is_one_of_its_own_and_fits_into_the_keys_file() -> None:
    other = new_key()
    assert other["kid"] != KEY["kid"]
    assert set(read_keys(json.dumps({"keys": [KEY, other]}))) == {KEY["kid"], other["kid"]}


def test_a_token_names_its_key_and_carries_what_was_asked_for() -> None:
    token = create_token({"keys": [KEY]}, **{**GOOD, "scopes": ["targets:read", "plans:write", "targets:read"]})
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": KEY["kid"], "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["scope"], claims["targets"], claims["sub"]) == ("targets:read plans:write", ["prod:*"], "alice")
    assert (claims["iat"], claims["exp"]) == (int(NOW.timestamp()), int(NOW.timestamp()) + 3600)


def test_the_newest_key_with_a_private_part_signs() -> None:
    newer = new_key()
    public_only = {name: value for name, value in new_key().items() if name != "private"}
    token = create_token({"keys": [KEY, newer, public_only]}, **GOOD)
    assert jwt.get_unverified_header(token)["kid"] == newer["kid"]


def test_a_private_key_may_stand_there_as_jwk() -> None:
    private = load_pem_private_key(KEY["private"].encode(), password=None)
    assert isinstance(private, Ed25519PrivateKey)
    jwk = OKPAlgorithm.to_jwk(private, as_dict=True)
    assert create_token({"keys": [KEY | {"private": jwk}]}, **GOOD) == create_token({"keys": [KEY]}, **GOOD)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scopes": ["targets:raed"]}, "unknown scope targets:raed: expected some of targets:read"),
        ({"scopes": []}, "none given"),
        ({"targets": []}, "at least one target pattern"),
        ({"targets": [""]}, "at least one target pattern"),
        ({"expires": timedelta(0)}, "must live"),
        ({"subject": " "}, "needs a subject"),
        ({"subject": "a\x00b"}, "needs a subject"),
    ],
)
def test_a_token_that_would_be_wrong_is_not_made(change: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        create_token({"keys": [KEY]}, **{**GOOD, **change})


@pytest.mark.parametrize("private", [None, "PEM", KEY["public"], {"kty": "RSA"}])
def test_without_a_usable_private_key_nothing_is_signed(private: Any) -> None:
    with pytest.raises(ValueError, match="private key"):
        create_token({"keys": [KEY | {"private": private}]}, **GOOD)
    with pytest.raises(ValueError, match="no private key"):
        create_token({}, **GOOD)
