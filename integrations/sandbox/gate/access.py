"""Who calls Gate and what they may do: authentication modes, API tokens, Fiat's permissions, the rate limiter (contract 1, 2.4)."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from integrations.sandbox.gate.ids import Ids
from integrations.sandbox.gate.refusals import DENIED, BackendError, RefusedError
from integrations.sandbox.gate.settings import GATE, Json, Profile
from integrations.sandbox.gate.timeline import Timeline

PUBLIC: Final = ("/health", "/error", "/auth/user", "/auth/loggedOut")
_HEADER_MISSING: Final = "X-SPINNAKER-USER header not found in request."
_PREAUTH: Final = "org.springframework.security.web.authentication.preauth.PreAuthenticatedCredentialsNotFoundException"


class TurnedAwayError(Exception):
    """An answer without a body before any handler: a redirect to the login page, or 401."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"turned away with {status}")
        self.status = status
        self.headers = dict(headers)


@dataclass(slots=True, kw_only=True)
class User:
    """Somebody Gate knows. Without Fiat nobody asks for rights; with it, `may` holds `(right, application)` and accounts that may be written."""

    name: str
    password: str = ""
    roles: list[str] = field(default_factory=list)
    rights: dict[str, set[str]] = field(default_factory=dict)  # READ, WRITE, EXECUTE -> applications, or "*"
    accounts: set[str] = field(default_factory=set)
    mints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A minted token; the plain one is shown once and not kept in `about`."""

    secret: str
    user: str
    about: Json


class Access:
    """Users, tokens, permissions and windows of one Gate."""

    def __init__(self, profile: Profile, timeline: Timeline, ids: Ids) -> None:
        self._profile = profile
        self._timeline = timeline
        self._ids = ids
        self._users: dict[str, User] = {}
        self._tokens: dict[str, ApiToken] = {}
        self._windows: dict[str, tuple[datetime, int]] = {}

    def add(self, user: User) -> None:
        """Know somebody."""
        self._users[user.name] = user

    def user(self, name: str) -> User | None:
        """Somebody known."""
        return self._users.get(name)

    def roles(self, name: str) -> list[str]:
        """The roles of a user; none for a stranger."""
        user = self._users.get(name)
        return list(user.roles) if user else []

    # --- who is it ---------------------------------------------------------------------------------------------------------

    def authenticate(self, path: str, headers: Mapping[str, str]) -> str:
        """The caller's name, "" for nobody on a public path. TurnedAwayError or RefusedError as the mode has it."""
        public = path in PUBLIC or path.startswith("/webhooks/")
        token = self._api_token(headers)
        if token is not None:
            found = next((one for one in self._tokens.values() if hmac.compare_digest(one.secret, token)), None)
            if found is not None:
                return found.user
            if public and self._profile.auth != "header":
                return ""
            raise TurnedAwayError(401, {})
        mode = self._profile.auth
        if mode == "none":
            return "anonymous"
        if mode == "header":
            name = headers.get("X-SPINNAKER-USER", "")
            if not name:
                raise RefusedError(500, _HEADER_MISSING, _PREAUTH)
            return name
        if mode == "basic":
            return self._basic(headers, public=public)
        if mode == "oauth2":
            return self._bearer(headers, public=public)
        name = headers.get("X-Sandbox-Client-Certificate", "")  # the sandbox has no TLS: the certificate's subject stands in a header of its own
        if not name and not public:
            raise RefusedError(403, "Access Denied", DENIED)
        return name

    def _api_token(self, headers: Mapping[str, str]) -> str | None:
        if not self._profile.api_tokens:
            return None
        own = headers.get("X-Spinnaker-Token", "")
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        bearer = value if scheme.lower() == "bearer" else ""
        return next((one for one in (own, bearer) if one.startswith("spk_")), None)

    def _basic(self, headers: Mapping[str, str], *, public: bool) -> str:
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(value).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                name, password = "", ""
            user = self._users.get(name)
            if user is None or not user.password or not hmac.compare_digest(user.password.encode(), password.encode()):
                raise TurnedAwayError(302, {"Location": f"{GATE}/login"})
            return name
        if public:
            return ""
        raise TurnedAwayError(302, {"Location": f"{GATE}/login", "Set-Cookie": f"SESSION={self._ids.uuid()}; Path=/; HttpOnly"})

    def _bearer(self, headers: Mapping[str, str], *, public: bool) -> str:
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        user = next((one for one in self._users.values() if one.password and hmac.compare_digest(one.password, value)), None)
        if scheme.lower() == "bearer" and user is not None:
            return user.name
        if public:
            return ""
        raise TurnedAwayError(302, {"Location": f"{GATE}/oauth2/authorization/sandbox"})

    # --- may they ----------------------------------------------------------------------------------------------------------

    def may(self, name: str, right: str, application: str) -> bool:
        """Whether Fiat grants READ, WRITE or EXECUTE on an application; without Fiat it always does."""
        if not self._profile.fiat:
            return True
        user = self._users.get(name)
        return user is not None and bool(user.rights.get(right, set()) & {application, "*"})

    def demand(self, name: str, right: str, application: str) -> None:
        """BackendError 403 in Orca's words."""
        if not self.may(name, right, application):
            raise BackendError(403, f"Access denied to application {application} - required authorization: {right}")

    def may_write(self, name: str, account: str) -> bool:
        """Whether Fiat grants WRITE on a provider account."""
        if not self._profile.fiat:
            return True
        user = self._users.get(name)
        return user is not None and bool(user.accounts & {account, "*"})

    def takes_away(self, name: str, right: str, application: str = "*") -> None:
        """Somebody lost a right."""
        user = self._users[name]
        user.rights.get(right, set()).discard(application)

    # --- tokens ------------------------------------------------------------------------------------------------------------

    def token_for(self, name: str) -> str:
        """A token of a user, minted past the API."""
        made = self._mint(name, f"sandbox-{len(self._tokens)}")
        return made.secret

    def mint(self, by: str, body: Json) -> Json:
        """`POST /auth/apiTokens`. RefusedError 400, 403, 409."""
        user = self._users.get(by)
        if not self._profile.fiat or user is None or not user.mints:
            raise RefusedError(403, "Access is denied", DENIED)
        name = str(body.get("name") or "")
        if not name:
            raise RefusedError(400, "Token name must not be blank", "java.lang.IllegalArgumentException")
        if any(one.about["name"] == name and one.user == by for one in self._tokens.values()):
            words = f"A token named '{name}' already exists for this principal. Choose a different name."
            raise RefusedError(409, words, "org.springframework.web.server.ResponseStatusException")
        made = self._mint(by, name)
        return {**made.about, "token": made.secret}

    def _mint(self, owner: str, name: str) -> ApiToken:
        now = self._timeline.now
        about = {
            "createdAt": _nanos(now),
            "createdByUserId": owner,
            "expiresAt": _nanos(now + timedelta(days=90)),
            "id": self._ids.uuid(),
            "name": name,
            "principalId": owner,
            "principalType": "USER",
        }
        made = ApiToken(secret=f"spk_{secrets.token_urlsafe(24)}", user=owner, about=about)
        self._tokens[about["id"]] = made
        return made

    def tokens(self) -> list[Json]:
        """`GET /auth/apiTokens`, without the secrets."""
        return [one.about for one in self._tokens.values()]

    def revoke(self, token_id: str) -> None:
        """Forget a token; it is refused at once."""
        self._tokens.pop(token_id, None)

    def revoke_all(self) -> None:
        """Forget every token."""
        self._tokens.clear()

    # --- how often ---------------------------------------------------------------------------------------------------------

    def count(self, name: str) -> tuple[dict[str, str], bool]:
        """Count a request of a principal ("" for nobody): headers of the rate limiter, and whether it is too many."""
        capacity = self._profile.capacity
        if capacity is None:
            return {}, False
        now = self._timeline.now
        ends, used = self._windows.get(name, (now, capacity + 1))
        if now >= ends:
            ends, used = now + timedelta(seconds=self._profile.window), 0
        used += 1
        self._windows[name] = (ends, used)
        return {
            "X-RateLimit-Capacity": str(capacity),
            "X-RateLimit-Learning": "false",
            "X-RateLimit-Remaining": str(max(0, capacity - used)),
            "X-RateLimit-Reset": http_date(ends),
        }, used > capacity


def http_date(moment: datetime) -> str:
    """A moment as HTTP writes it."""
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _nanos(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}000Z"
