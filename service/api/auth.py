"""Who calls, and what they may: bearer tokens (JWT, Ed25519) checked against a keys file. OIDC can come as another `Verifier`.

Which scope a request needs stands in the route table; what a principal may see is asked where the target is known.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import OKPAlgorithm

from service.api.problems import RETRY_AFTER, ProblemError
from service.api.rereading import Rereading
from service.domain.errors import SettingsError
from service.domain.model import Actor, TargetId
from service.domain.ports import Clock

ISSUER = AUDIENCE = "backout"
ALGORITHM = "EdDSA"
LEEWAY = timedelta(seconds=30)
LONGEST = 8192
"""Bytes of a token; a longer one is not looked at."""

LONGEST_NAME = 200

ADMIN = "admin"
SCOPES = (
    "targets:read",
    "operations:read",
    "plans:write",
    "operations:create",
    "operations:approve",
    "operations:override",
    "operations:cancel",
    "holds:end",
    "stop:write",
    ADMIN,
)
"""Every scope there is; admin stands for all others, on the targets of the token."""


class InvalidTokenError(Exception):
    """The token proves nothing; the text says why and holds nothing of the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller: subject, scopes, and the patterns of the targets it may see."""

    subject: str
    scopes: frozenset[str]
    targets: tuple[str, ...]

    @property
    def actor(self) -> Actor:
        """The caller as records name it: `service:portal` is a service, everything else a user, whatever the subject pretends."""
        kind, colon, name = self.subject.partition(":")
        if colon and name and kind in {"user", "service"}:
            return Actor(kind=kind, name=name)
        return Actor(kind="user", name=self.subject)

    def may(self, scope: str) -> bool:
        """Whether the token carries the scope."""
        return scope in self.scopes or ADMIN in self.scopes

    def sees(self, target: TargetId) -> bool:
        """Whether one of the token's patterns covers the target."""
        return any(target.matches(pattern) for pattern in self.targets)

    @property
    def sees_all(self) -> bool:
        """Whether no target is hidden from it."""
        return "*" in self.targets

    def need(self, scope: str) -> None:
        """Raises the 403 that names the scope."""
        if not self.may(scope):
            header = f'Bearer realm="backout", error="insufficient_scope", scope="{scope}"'
            raise ProblemError("missing_scope", f"this needs a token with the scope {scope}", headers={"WWW-Authenticate": header})

    def need_all_targets(self) -> None:
        """Raises the 403 that names the pattern."""
        if not self.sees_all:
            has = ", ".join(self.targets) or "no target at all"
            raise ProblemError("targets_not_covered", f"this concerns every target and needs a token for the targets *; this one speaks for {has}")


NOBODY = Principal(subject="", scopes=frozenset(), targets=())


class Verifier(Protocol):
    """Tells who a token speaks for; raises InvalidTokenError. Asynchronous, for another verifier may have to fetch keys."""

    async def verify(self, token: str) -> Principal: ...  # noqa: D102


class KeysFileVerifier:
    """Checks tokens against `{"keys": [{"kid", "alg": "EdDSA", "public": PEM or JWK}]}`; the file is read again when it changed.

    While the file cannot be read nobody gets in, also not with a token that was good before: a key may have been taken out of it.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = Rereading(file, read_keys)
        self._clock = clock
        try:
            self._file.now()
        except (OSError, ValueError) as error:
            raise SettingsError(f"auth.keys_file {file}: {_reason(error)}; make one with: backout token key --keys FILE") from error

    async def verify(self, token: str) -> Principal:
        """The principal of a token that is whole, signed by one of the keys, meant for us, and valid now."""
        try:
            keys = self._file.now()
        except (OSError, ValueError) as error:
            raise ProblemError("keys_unreadable", "the keys file cannot be read, so nobody can be let in", retry_after=RETRY_AFTER) from error
        return _principal(_claims(token, keys), self._clock.now())


def read_keys(text: str) -> Mapping[str, Ed25519PublicKey]:
    """Public keys by kid; raises ValueError that says what was expected."""
    document = json.loads(text)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError('expected {"keys": [{"kid": …, "alg": "EdDSA", "public": …}]} with at least one key')
    keys: dict[str, Ed25519PublicKey] = {}
    for number, entry in enumerate(entries):
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if not isinstance(kid, str) or not kid or kid in keys:
            raise ValueError(f"keys[{number}]: expected a kid of its own")
        if entry.get("alg") != ALGORITHM:
            raise ValueError(f"keys[{number}]: expected alg {ALGORITHM}")
        keys[kid] = _public(entry.get("public"), number)
    return keys


def _public(value: Any, number: int) -> Ed25519PublicKey:
    try:
        key: Any = OKPAlgorithm.from_jwk(value) if isinstance(value, dict) else load_pem_public_key(str(value).encode())
    except (ValueError, jwt.InvalidKeyError, UnsupportedAlgorithm) as error:
        raise ValueError(f"keys[{number}].public: expected an Ed25519 public key as PEM or JWK") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"keys[{number}].public: expected an Ed25519 public key, and not a private or another one")  # noqa: TRY004  one kind of error
    return key


def _claims(token: str, keys: Mapping[str, Ed25519PublicKey]) -> Mapping[str, Any]:
    """The claims of a token with a good signature, issuer and audience. Times are left to our own clock."""
    if len(token) > LONGEST:
        raise InvalidTokenError("the token is too long")
    try:
        key = keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise InvalidTokenError("the token was signed by a key that is not in the keys file")
        options: Any = {"require": ["exp", "iat", "sub", "aud", "iss"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        return jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=options)
    except jwt.MissingRequiredClaimError as error:
        raise InvalidTokenError(f"the token has no claim {error.claim}") from error
    except (jwt.InvalidAudienceError, jwt.InvalidIssuerError) as error:
        raise InvalidTokenError("the token was made for something else (iss and aud must be backout)") from error
    except jwt.InvalidTokenError as error:
        raise InvalidTokenError("the token cannot be read, or its signature is wrong") from error


def _principal(claims: Mapping[str, Any], now: datetime) -> Principal:
    ends, begins = _time(claims, "exp"), max(_time(claims, "iat"), _time(claims, "nbf") if "nbf" in claims else datetime.min.replace(tzinfo=UTC))
    if now >= ends + LEEWAY:
        raise InvalidTokenError(f"the token expired at {ends:%Y-%m-%dT%H:%M:%SZ}; make a new one with: backout token create")
    if begins > now + LEEWAY:
        raise InvalidTokenError("the token is not valid yet; compare the clocks")
    subject, scope, targets = claims.get("sub"), claims.get("scope", ""), claims.get("targets", [])
    if not isinstance(subject, str) or not is_name(subject):
        raise InvalidTokenError("the token's sub is no name")
    if not isinstance(scope, str) or not isinstance(targets, list) or not all(isinstance(one, str) and one for one in targets):
        raise InvalidTokenError("the token's scope must be a text and its targets a list of patterns")
    return Principal(subject=subject, scopes=frozenset(scope.split()), targets=tuple(targets))


def is_name(subject: str) -> bool:
    """Whether records can name a caller so: printable, and at most 200 characters."""
    return bool(subject.strip()) and subject.isprintable() and len(subject) <= LONGEST_NAME


def _time(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"the token's {name} is no time")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise InvalidTokenError(f"the token's {name} is no time") from error


def _reason(error: Exception) -> str:
    return error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)


def bearer(header: str) -> str:
    """The token of an Authorization header, "" when there is none of that kind."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def unauthorized(detail: str, *, tried: bool) -> ProblemError:
    """The 401; with `tried` it tells that the credential itself was the trouble."""
    header = 'Bearer realm="backout"' + (', error="invalid_token"' if tried else "")
    return ProblemError("invalid_token", detail, headers={"WWW-Authenticate": header})


async def authenticate(authorization: str, verifier: Verifier) -> Principal:
    """The caller behind an Authorization header; raises the 401."""
    token = bearer(authorization)
    if not token:
        raise unauthorized("this needs a bearer token; make one with: backout token create", tried=False)
    try:
        return await verifier.verify(token)
    except InvalidTokenError as error:
        raise unauthorized(str(error), tried=True) from error
