"""Who is calling and what they may do: accounts, project roles, tokens, RBAC lines (contract 1.1-1.2).

Tokens are real HS256 JWTs of issuer `argocd`. Expiry is judged by the injected clock. What an endpoint needs is said where it is served.
"""

import base64
import binascii
import json
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import jwt

from integrations.sandbox.argocd.objects import stamp
from integrations.sandbox.argocd.settings import Clock
from integrations.sandbox.argocd.state import Projects
from integrations.sandbox.argocd.status import DENIED, INVALID, NOT_FOUND, UNAUTHENTICATED, Json, RefusedError

VERBS: Final = ("get", "create", "update", "delete", "sync", "override", "action", "invoke")
RESOURCES: Final = (
    "clusters",
    "projects",
    "applications",
    "applicationsets",
    "repositories",
    "write-repositories",
    "certificates",
    "accounts",
    "gpgkeys",
    "logs",
    "exec",
    "extensions",
)
_BUILT_IN: Final = (
    ("role:readonly", "*", "get", "*", "allow"),
    ("role:admin", "*", "*", "*", "allow"),
)
Line = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified token: the name that Argo CD shows, and when the token was issued."""

    subject: str
    issued_at: int

    @property
    def project_role(self) -> tuple[str, str] | None:
        """Project and role of a project token `proj:P:R`."""
        parts = self.subject.split(":")
        return (parts[1], parts[2]) if len(parts) == 3 and parts[0] == "proj" else None


@dataclass(slots=True, kw_only=True)
class _Account:
    password: str | None = None
    tokens: dict[str, Json] = field(default_factory=dict)


class Access:
    """Accounts, tokens and policies of one server."""

    def __init__(self, projects: Projects, clock: Clock, admin_password: str | None) -> None:
        self._projects = projects
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._accounts: dict[str, _Account] = {"admin": _Account(password=admin_password)}
        self._lines: list[Line] = list(_BUILT_IN)
        self._roles: list[tuple[str, str]] = [("admin", "role:admin")]

    def add_account(self, name: str, policies: Iterable[str] = (), password: str | None = None) -> None:
        """Add or replace an account; policies are lines of argocd-rbac-cm: `p, SUB, RESOURCE, ACTION, OBJECT, allow|deny` or `g, SUB, ROLE`."""
        self._accounts.setdefault(name, _Account()).password = password
        self._lines = [line for line in self._lines if line[0] != name]
        self._roles = [role for role in self._roles if role[0] != name]
        for policy in policies:
            self._add_line(policy)

    def _add_line(self, policy: str) -> None:
        kind, *rest = [part.strip() for part in policy.split(",")]
        if kind == "g" and len(rest) == 2:
            self._roles.append((rest[0], rest[1]))
        elif kind == "p" and len(rest) == 5 and rest[4] in {"allow", "deny"}:
            self._lines.append((rest[0], rest[1], rest[2], rest[3], rest[4]))
        else:
            raise ValueError(f"not an Argo CD policy line: {policy}")

    def login(self, name: str, password: str) -> str:
        """Session token for a correct password."""
        if not name and not password:
            raise RefusedError(UNAUTHENTICATED, "no credentials supplied")
        if not password:
            raise RefusedError(UNAUTHENTICATED, "Blank passwords are not allowed")
        account = self._accounts.get(name)
        if account is None or account.password is None or not secrets.compare_digest(account.password.encode(), password.encode()):
            raise RefusedError(UNAUTHENTICATED, "Invalid username or password")
        return self._sign(f"{name}:login", expires_in=24 * 3600, jti=str(uuid.uuid4()))

    def account_token(self, name: str, *, expires_in: int = 0, jti: str = "") -> str:
        """API key of an account; a used id is refused."""
        account = self._accounts.get(name)
        if account is None:
            raise RefusedError(NOT_FOUND, f"account '{name}' does not exist")
        jti = jti or str(uuid.uuid4())
        if jti in account.tokens:
            raise RefusedError(INVALID, f"rpc error: code = InvalidArgument desc = Token id '{jti}' has been used. ")
        account.tokens[jti] = {"id": jti}
        return self._sign(f"{name}:apiKey", expires_in=expires_in, jti=jti)

    def revoke_account_token(self, name: str, jti: str) -> None:
        """Forget an account's API key."""
        if name in self._accounts:
            self._accounts[name].tokens.pop(jti, None)

    def project_token(self, project: str, role: str, *, expires_in: int = 0, jti: str = "") -> str:
        """Token of a project's role; kept in the project, where deleting it revokes it."""
        item = self._projects.get(project)
        if item is None or not any(entry["name"] == role for entry in item["spec"].get("roles") or []):
            raise RefusedError(INVALID, f"project '{project}' does not have role '{role}'")
        jti = jti or str(uuid.uuid4())
        items = item["status"].setdefault("jwtTokensByRole", {}).setdefault(role, {}).setdefault("items", [])
        if any(token.get("id") == jti for token in items):
            raise RefusedError(INVALID, f"rpc error: code = InvalidArgument desc = Token id '{jti}' has been used. ")
        token = self._sign(f"proj:{project}:{role}", expires_in=expires_in, jti=jti)
        claims = jwt.decode(token, options={"verify_signature": False})
        items.append({name: claims[name] for name in ("iat", "exp") if name in claims} | {"id": jti})
        return token

    def revoke_project_token(self, project: str, role: str, issued_at: int, jti: str) -> None:
        """Forget a project token by its id, or by when it was issued."""
        item = self._projects.get(project)
        held = item["status"].get("jwtTokensByRole", {}).get(role, {}) if item else {}
        held["items"] = [token for token in held.get("items", []) if not (token["id"] == jti if jti else token["iat"] == issued_at)]

    def _sign(self, subject: str, *, expires_in: int, jti: str) -> str:
        now = int(self._clock().timestamp())
        claims: Json = {"iss": "argocd", "sub": subject, "nbf": now, "iat": now, "jti": jti}
        return jwt.encode(claims | ({"exp": now + expires_in} if expires_in else {}), self._key, algorithm="HS256")

    def find_token(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> str:
        """Token of a request, empty when it carries none; a string without three parts counts as none."""
        bearer = headers.get("Authorization", "")
        token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else headers.get("Grpc-Metadata-Token", "") or cookies.get("argocd.token", "")
        return token if token.count(".") == 2 else ""

    def authenticate(self, token: str) -> Caller:
        """The caller of a token. RefusedError 401 with Argo CD's reason."""
        if not token:
            raise RefusedError(UNAUTHENTICATED, "no session information")
        claims = self._verify(token)
        subject = str(claims["sub"])
        name, _, capability = subject.partition(":") if not subject.startswith("proj:") else (subject, "", "")
        caller = Caller(subject=name, issued_at=int(claims["iat"]))
        role = caller.project_role
        if role is not None:
            project = self._projects.get(role[0])
            held = project["status"].get("jwtTokensByRole", {}).get(role[1], {}).get("items", []) if project else []
            if not any(token_["id"] == claims.get("jti") for token_ in held):
                raise _invalid(f"JWT token for role '{role[1]}' issued at '{claims['iat']}' does not exist in project '{role[0]}'")
            return caller
        account = self._accounts.get(name)
        if account is None:
            raise _invalid(f"account '{name}' does not exist")
        if capability == "apiKey" and claims.get("jti") not in account.tokens:
            raise _invalid(f"account {name} does not have token with id {claims.get('jti')}")
        return caller

    def _verify(self, token: str) -> Json:
        for part, place in zip(token.split("."), ("header", "claim", "signature"), strict=True):
            wrong = next((at for at, letter in enumerate(part) if not (letter.isascii() and (letter.isalnum() or letter in "-_"))), None)
            if wrong is not None:
                raise _invalid(f"token is malformed: could not base64 decode {place}: illegal base64 data at input byte {wrong}")
            if place != "signature":
                _parsed(part, place)
        try:
            claims = jwt.decode(
                token, self._key, algorithms=["HS256"], issuer="argocd", options={"verify_exp": False, "verify_nbf": False, "verify_iat": False}
            )
        except jwt.InvalidTokenError as error:
            raise _invalid("token signature is invalid: signature is invalid") from error
        if "exp" in claims and int(claims["exp"]) <= self._clock().timestamp():
            raise _invalid("token has invalid claims: token is expired")
        return claims

    def allows(self, caller: Caller | None, resource: str, action: str, item: str) -> bool:
        """Whether the caller's lines allow it; a matching `deny` wins."""
        if caller is None:
            return False
        names = {caller.subject} | {role for subject, role in self._roles if subject == caller.subject}
        lines = [line[1:] for line in self._lines if line[0] in names]
        role = caller.project_role
        if role is not None:
            if resource == "projects" and action == "get" and item == role[0]:
                return True
            project = self._projects.get(role[0])
            for entry in (project["spec"].get("roles") or []) if project else []:
                policies = [[part.strip() for part in policy.split(",")] for policy in entry.get("policies") or []]
                lines += [
                    (line[2], line[3], line[4], line[5]) for line in policies if entry["name"] == role[1] and len(line) == 6 and line[1] == caller.subject
                ]
        effects = {line[3] for line in lines if _glob(resource, line[0]) and _glob(action, line[1]) and _glob(item, line[2])}
        return "deny" not in effects and "allow" in effects

    def demand(self, caller: Caller, resource: str, action: str, item: str) -> None:
        """RefusedError 403 that says what was missing, as direct enforcement does."""
        if not self.allows(caller, resource, action, item):
            issued = stamp(datetime.fromtimestamp(caller.issued_at, tz=UTC))
            raise RefusedError(DENIED, f"permission denied: {resource}, {action}, {item}, sub: {caller.subject}, iat: {issued}")

    def can_i(self, caller: Caller, resource: str, action: str, item: str) -> bool:
        """The self-check; only bare verbs are accepted."""
        for known, given in ((RESOURCES, resource), (VERBS, action)):
            if given not in known and (known is RESOURCES or "/" not in given):
                raise RefusedError(INVALID, f"[{' '.join(known)}] does not contain {given}")
        return "/" not in action and action != "action" and self.allows(caller, resource, action, item)


def _glob(value: str, pattern: str) -> bool:
    return fnmatchcase(value, pattern)


def _invalid(reason: str) -> RefusedError:
    return RefusedError(UNAUTHENTICATED, f"invalid session: {reason}")


def _parsed(part: str, place: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"token is malformed: could not JSON decode {place}: {error}") from error
