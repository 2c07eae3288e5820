"""Who gets in by each mode (contract 1.1): what was recorded is in the replay; this is the rest."""

import base64

from integrations.sandbox.gate.access import User
from integrations.sandbox.gate.settings import Profile
from tests.contract.spinnaker.driver import Answer, Spinnaker, sandboxed


async def ask(one: Spinnaker, **headers: str) -> Answer:
    return await one.call("GET", "/version", headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_a_token_gets_in_by_either_header_until_it_is_revoked() -> None:
    async with sandboxed(Profile(auth="basic", api_tokens=True)) as one:
        token = one.inside.access.token_for("bot")
        answers = [await ask(one, X_Spinnaker_Token=token), await ask(one, Authorization=f"bearer {token}")]
        one.inside.access.revoke_all()
        after = await ask(one, X_Spinnaker_Token=token)

        assert [one.status for one in answers] == [200, 200]
        assert (after.status, after.body) == (401, None)


async def test_an_oauth_bearer_gets_in_and_a_bad_one_is_sent_to_the_provider() -> None:
    async with sandboxed(Profile(auth="oauth2")) as one:
        one.inside.add_user(User(name="bot@example.org", password="access-token"))
        good, bad = await ask(one, Authorization="Bearer access-token"), await ask(one, Authorization="Bearer stale")
        who = await one.call("GET", "/auth/user", headers={"Authorization": "Bearer access-token"})
        nobody = await one.call("GET", "/auth/user", headers={"Authorization": "Bearer stale"})

        assert (good.status, who.body["username"]) == (200, "bot@example.org")
        assert (bad.status, bad.headers["location"].partition("8084")[2]) == (302, "/oauth2/authorization/sandbox")
        assert (nobody.status, nobody.body) == (200, None)


async def test_without_a_certificate_one_is_denied_and_never_redirected() -> None:
    async with sandboxed(Profile(auth="x509")) as one:
        denied = await ask(one)
        known = await ask(one, X_Sandbox_Client_Certificate="bot@example.org")

        assert (denied.status, denied.message, known.status) == (403, "Access Denied", 200)


async def test_a_password_with_a_colon_or_none_at_all_is_compared_whole() -> None:
    async with sandboxed(Profile(auth="basic")) as one:
        one.inside.add_user(User(name="u", password="a:b"))
        one.inside.add_user(User(name="nobody"))

        def header(text: str) -> str:
            return f"Basic {base64.b64encode(text.encode()).decode()}"

        answers = [await ask(one, Authorization=header(text)) for text in ("u:a:b", "u:a", "nobody:")]
        garbage = await ask(one, Authorization="Basic !!!")

        assert [one.status for one in [*answers, garbage]] == [200, 302, 302, 302]


async def test_the_limiter_counts_each_principal_by_itself_and_forgets_after_its_window() -> None:
    async with sandboxed(Profile(auth="header", capacity=2)) as one:
        first = [(await ask(one, X_SPINNAKER_USER="a")).status for _ in range(3)]
        other = await ask(one, X_SPINNAKER_USER="b")
        await one.inside.timeline.wait(11)
        later = await ask(one, X_SPINNAKER_USER="a")

        assert (first, other.status, later.status) == ([200, 200, 429], 200, 200)


async def test_low_priority_is_shed_with_a_date_to_come_back_at() -> None:
    async with sandboxed() as one:
        one.inside.faults.low_priority_refused = True
        shed, kept = await ask(one), await ask(one, X_Spinnaker_Priority="critical")

        assert (shed.status, "retry-after" in shed.headers, kept.status) == (503, True, 200)
