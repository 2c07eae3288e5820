import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from integrations.sandbox.argocd.access import Access, Caller
from integrations.sandbox.argocd.state import Projects, Versions
from integrations.sandbox.argocd.status import RefusedError


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def projects(clock: Clock) -> Projects:
    return Projects(Versions(), clock)


@pytest.fixture
def access(projects: Projects, clock: Clock) -> Access:
    return Access(projects, clock, "sesame")


def caller(access: Access, name: str, *policies: str) -> Caller:
    access.add_account(name, policies)
    return access.authenticate(access.account_token(name))


def reason(access: Access, token: str) -> str:
    with pytest.raises(RefusedError) as caught:
        access.authenticate(token)
    assert caught.value.http_status == 401
    return caught.value.message


def test_policies_allow_by_globs_that_know_no_separators(access: Access) -> None:
    bot = caller(access, "bot", "p, bot, applications, get, team-*/*, allow", "p, bot, applications, sync, */web, allow")

    assert access.allows(bot, "applications", "get", "team-a/ns/web")
    assert access.allows(bot, "applications", "sync", "other/web")
    assert not access.allows(bot, "applications", "get", "other/web")
    assert not access.allows(bot, "applications", "update", "team-a/web")
    assert not access.allows(None, "applications", "get", "team-a/web")


def test_deny_beats_allow(access: Access) -> None:
    bot = caller(access, "bot", "p, bot, applications, *, */*, allow", "p, bot, applications, sync, prod/*, deny")

    assert access.allows(bot, "applications", "sync", "dev/web")
    assert not access.allows(bot, "applications", "sync", "prod/web")


def test_built_in_roles_are_granted_by_group_lines(access: Access) -> None:
    reader = caller(access, "reader", "g, reader, role:readonly")
    admin = access.authenticate(access.account_token("admin"))

    assert access.allows(reader, "projects", "get", "any")
    assert not access.allows(reader, "projects", "update", "any")
    assert access.allows(admin, "anything", "delete", "at/all")


@pytest.mark.parametrize("line", ["p, bot, applications, get, */*", "p, bot, applications, get, */*, maybe", "x, y"])
def test_a_line_that_is_no_policy_is_an_error(access: Access, line: str) -> None:
    with pytest.raises(ValueError, match="not an Argo CD policy line"):
        access.add_account("bot", [line])


def test_adding_an_account_again_replaces_its_rights(access: Access) -> None:
    bot = caller(access, "bot", "p, bot, applications, get, */*, allow")
    access.add_account("bot", [])

    assert not access.allows(bot, "applications", "get", "a/b")


def test_a_direct_refusal_names_everything(access: Access) -> None:
    bot = caller(access, "bot")

    with pytest.raises(RefusedError) as caught:
        access.demand(bot, "applications", "sync", "team-a/web")
    assert caught.value.message == "permission denied: applications, sync, team-a/web, sub: bot, iat: 2026-03-04T12:00:00Z"


def test_a_token_ends_with_its_time(access: Access, clock: Clock) -> None:
    access.add_account("bot")
    token = access.account_token("bot", expires_in=60)
    assert access.authenticate(token).subject == "bot"

    clock.now += timedelta(seconds=60)

    assert reason(access, token) == "invalid session: token has invalid claims: token is expired"


def test_an_id_is_used_once(access: Access) -> None:
    access.account_token("admin", jti="one")

    with pytest.raises(RefusedError, match="Token id 'one' has been used"):
        access.account_token("admin", jti="one")
    with pytest.raises(RefusedError, match="account 'nobody' does not exist"):
        access.account_token("nobody")


def test_a_token_of_another_server_is_forged(access: Access, projects: Projects, clock: Clock) -> None:
    other = Access(projects, clock, None)

    assert reason(access, other.account_token("admin")) == "invalid session: token signature is invalid: signature is invalid"


def test_a_revoked_api_key_is_named(access: Access) -> None:
    access.add_account("bot")
    token = access.account_token("bot", jti="j")
    access.revoke_account_token("bot", "j")

    assert reason(access, token) == "invalid session: account bot does not have token with id j"


def test_parts_that_are_no_base64_or_json_are_malformed(access: Access) -> None:
    assert reason(access, "a$.b.c") == "invalid session: token is malformed: could not base64 decode header: illegal base64 data at input byte 1"
    text = base64.urlsafe_b64encode(b"no json").decode().rstrip("=")
    assert reason(access, f"{text}.{text}.x").startswith("invalid session: token is malformed: could not JSON decode header")
    assert reason(access, "") == "no session information"


def test_a_project_role_has_its_own_lines_and_its_project(access: Access, projects: Projects) -> None:
    policies = ["p, proj:team:bot, applications, sync, team/*, allow", "p, proj:other:bot, applications, get, team/*, allow"]
    projects.put("team", {"roles": [{"name": "bot", "policies": policies}, {"name": "idle"}]})
    bot = access.authenticate(access.project_token("team", "bot", jti="j"))

    assert bot.project_role == ("team", "bot")
    assert access.allows(bot, "applications", "sync", "team/web")
    assert access.allows(bot, "projects", "get", "team")
    assert not access.allows(bot, "applications", "get", "team/web")
    assert not access.allows(bot, "projects", "get", "default")


def test_a_revoked_project_token_is_refused_and_an_unknown_role_gets_none(access: Access, projects: Projects) -> None:
    projects.put("team", {"roles": [{"name": "bot"}]})
    token = access.project_token("team", "bot", jti="j")
    access.revoke_project_token("team", "bot", 0, "j")

    assert reason(access, token).startswith("invalid session: JWT token for role 'bot' issued at '")
    with pytest.raises(RefusedError, match="does not have role 'nosuch'"):
        access.project_token("team", "nosuch")


LOGINS = [
    ("", "", "no credentials supplied"),
    ("admin", "", "Blank passwords are not allowed"),
    ("admin", "wrong", "Invalid username or password"),
    ("nobody", "x", "Invalid username or password"),
]


@pytest.mark.parametrize(("name", "password", "words"), LOGINS)
def test_a_wrong_login_is_refused(access: Access, name: str, password: str, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        access.login(name, password)
    assert (caught.value.code, caught.value.message) == (16, words)


def test_a_login_gives_a_session_of_that_account(access: Access) -> None:
    assert access.authenticate(access.login("admin", "sesame")).subject == "admin"


def test_bearer_wins_over_cookie(access: Access) -> None:
    assert access.find_token({"Authorization": "Bearer a.b.c"}, {"argocd.token": "d.e.f"}) == "a.b.c"
    assert access.find_token({}, {"argocd.token": "d.e.f"}) == "d.e.f"
    assert access.find_token({"Grpc-Metadata-Token": "g.h.i"}, {}) == "g.h.i"
    assert access.find_token({"Authorization": "Bearer garbage"}, {}) == ""


def test_tokens_are_jwts_of_argocd(access: Access) -> None:
    claims = access.account_token("admin", jti="j", expires_in=5).split(".")[1]
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))

    assert (told["iss"], told["jti"], told["exp"] - told["iat"]) == ("argocd", "j", 5)
