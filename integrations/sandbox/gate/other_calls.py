"""Gate's calls about itself: health, version, who am I, API tokens, the quiet period (contract 1, 5.4)."""

from integrations.sandbox.gate.access import Access
from integrations.sandbox.gate.clouddriver import answer_of
from integrations.sandbox.gate.edge import PLAIN_JSON, Call, Reply, Route
from integrations.sandbox.gate.engine import Engine
from integrations.sandbox.gate.refusals import ProblemError, heard
from integrations.sandbox.gate.settings import KEEL, Json
from integrations.sandbox.gate.tools import Tools


class OtherCalls:
    """Handlers; `routes` lists them."""

    def __init__(self, *, tools: Tools, engine: Engine, access: Access) -> None:
        self._tools = tools
        self._engine = engine
        self._access = access

    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route(method="GET", path="/health", handle=self._health),
            Route(method="GET", path="/version", handle=self._version),
            Route(method="GET", path="/auth/user", handle=self._who),
            Route(method="GET", path="/auth/apiTokens", handle=self._tokens),
            Route(method="POST", path="/auth/apiTokens", handle=self._mint, needs_body=True),
            Route(method="DELETE", path="/auth/apiTokens/{id}", handle=self._revoke),
            Route(method="GET", path="/capabilities/quietPeriod", handle=self._quiet),
            Route(method="GET", path="/managed/application/{app}", handle=self._managed),
        ]

    async def _health(self, call: Call) -> Reply:
        faults = self._tools.faults
        away = self._engine.dead or faults.echo_down or faults.front50_hangs or any((faults.orca, faults.front50, faults.clouddriver))
        down = away and self._tools.profile.caches and call.query.get("downstreamServices") == "true"
        return Reply(status=503 if down else 200, body={"status": "DOWN" if down else "UP"}, content_type=PLAIN_JSON)

    async def _version(self, _call: Call) -> Reply:
        return Reply(body={"version": self._tools.profile.version})

    async def _who(self, call: Call) -> Reply:
        if call.user == "anonymous" and self._tools.profile.auth != "none":
            return Reply()
        profile = self._tools.profile
        roles = self._access.roles(call.user)
        user = self._access.user(call.user)
        accounts = [name for name in self._tools.clouddriver.accounts if self._access.may_write(call.user, name)] if profile.fiat else []
        body: Json = {
            "accountNonExpired": True,
            "accountNonLocked": True,
            "allowedAccounts": accounts,
            "authorities": [{"authority": role} for role in roles],
            "canMintApiTokens": bool(profile.fiat and user and user.mints),
            "credentialsNonExpired": True,
            "email": call.user,
            "enabled": True,
            "firstName": None,
            "isAdmin": False,
            "lastName": None,
            "roles": roles,
            "username": call.user,
        }
        if profile.api_tokens:
            body |= {"maxServiceAccountTokenLifetimeDays": 365, "maxUserTokenLifetimeDays": 90}
        return Reply(body=body)

    async def _tokens(self, _call: Call) -> Reply:
        return Reply(body=self._access.tokens())

    async def _mint(self, call: Call) -> Reply:
        return Reply(status=201, body=self._access.mint(call.user, dict(call.body)))

    async def _revoke(self, call: Call) -> Reply:
        self._access.revoke(call.parts["id"])
        return Reply(status=204)

    async def _managed(self, call: Call) -> Reply:
        """What keel says of an application (read from the source; no recording). Without keel Gate has no such path."""
        if self._tools.managed is None:
            raise ProblemError(404, f"No static resource managed/application/{call.parts['app']}.")
        with heard("GET", f"{KEEL}/application/{call.parts['app']}"):
            answer_of(self._tools.faults.keel)
        resources = self._tools.managed.get(call.parts["app"], [])
        return Reply(body={"applicationPaused": False, "hasManagedResources": bool(resources), "resources": resources})

    async def _quiet(self, _call: Call) -> Reply:
        return Reply(body={"enabled": False, "endTime": -1, "inQuietPeriod": False, "startTime": -1})
