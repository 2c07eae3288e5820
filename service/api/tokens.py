"""Makes keys and tokens for `backout token`. Checking tokens is left to `auth.py`; writing files to the caller."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from jwt.algorithms import OKPAlgorithm

from service.api.auth import ALGORITHM, AUDIENCE, ISSUER, SCOPES, is_name
from service.domain.model import Json


def new_key() -> dict[str, Json]:
    """A fresh entry for the `keys` of a keys file: kid, alg, public and private (PEM). The service itself needs the public part only."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "kid": "k" + hashlib.sha256(raw).hexdigest()[:12],
        "alg": ALGORITHM,
        "public": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "private": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }


def create_token(keys: Mapping[str, Any], *, subject: str, scopes: Sequence[str], targets: Sequence[str], expires: timedelta, now: datetime) -> str:
    """A token signed by the newest (last) key of the keys file's document that has its private part.

    Raises ValueError that says what is wrong: an unknown scope, no target pattern, no time to live, no private key.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ValueError(f"unknown scope {', '.join(unknown) or '(none given)'}: expected some of {' '.join(SCOPES)}")
    if not targets or not all(targets):
        raise ValueError("a token needs at least one target pattern, for example prod:* or *")
    if expires <= timedelta(0):
        raise ValueError("a token must live for some time")
    if not is_name(subject):
        raise ValueError("a token needs a subject, for example alice or service:portal")
    entry = next((one for one in reversed(list(keys.get("keys", ()))) if one.get("private")), None)
    if entry is None:
        raise ValueError("the keys file holds no private key, so nothing can be signed with it")
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": int(now.timestamp()),
        "exp": int((now + expires).timestamp()),
        "scope": " ".join(dict.fromkeys(scopes)),
        "targets": list(targets),
    }
    return jwt.encode(claims, _private(entry["private"]), algorithm=ALGORITHM, headers={"kid": entry["kid"]})


def _private(value: Any) -> Ed25519PrivateKey:
    try:
        key: Any = OKPAlgorithm.from_jwk(json.dumps(value)) if isinstance(value, dict) else load_pem_private_key(str(value).encode(), password=None)
    except (ValueError, TypeError, jwt.InvalidKeyError) as error:
        raise ValueError("the private key cannot be read: expected Ed25519 as PEM or JWK") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the private key is not an Ed25519 private key")  # noqa: TRY004  callers know one kind of error
    return key
