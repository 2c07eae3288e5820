"""`backout doctor` for one Gate: one line each for what the service will need, with the fix. Reads only.

The contract suite ran against a played Gate that is held to recordings of 2026.2.3; no real one ran on the machines that Backout was made on.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from integrations.delivery.spinnaker.budget import WINDOW
from integrations.delivery.spinnaker.client import Client
from integrations.delivery.spinnaker.facts import Reader, permissions_of
from integrations.delivery.spinnaker.settings import Settings
from integrations.json_shapes import Body, entries, part, text
from service.domain.errors import BackoutError, RefusedError
from service.domain.keys import machines
from service.domain.model import Json
from service.domain.ports import Checked, Clock, ListedTarget

PROVEN = "2026.2."
"""The recordings are of this release."""
SKEW = timedelta(seconds=5)
LONG_ROUND = timedelta(minutes=1)
"""A round of looks that takes longer is worth a word."""
NAMED = 5
"""So many are named in one line."""
WITHOUT_HISTORY = frozenset({"statefulset", "daemonset"})
"""Kinds whose revisions (ControllerRevisions) Gate lists nowhere; source only."""
WAYS = (
    "ways back: undo of a Deployment's roll-out; the old server group gets its traffic back; each after an automated run that still deploys the bad release"
    " was cancelled; a pipeline of your own where rollback_pipelines names it"
)


async def check(settings: Settings, client: Client, reader: Reader, clock: Clock) -> Sequence[Checked]:
    """All lines; the first failure to reach Gate, or to log in, is the only one."""
    name = f"spinnaker {settings.name}"
    try:
        lines = await _version(name, client, clock)
        user, line = await _account(name, settings, client)
        lines.append(line)
        listing = await reader.targets()
        for application in settings.applications:
            lines += await _application(name, application, client, user, [one for one in listing.targets if one.project == application])
            lines += await _no_targets(name, application, reader)
        if not listing.complete:
            lines.append(Checked(what=f"{name} targets", well="warn", says=listing.says, fix="correct applications, or let the account read them"))
        lines += _limit(name, settings, client, len(listing.targets))
    except BackoutError as error:
        return [Checked(what=name, well="no", says=str(error), fix=f"check url, auth and its files, and ca_file of {settings.name}")]
    return [*lines, Checked(what=f"{name} ways", well="ok", says=WAYS)]


def _limit(name: str, settings: Settings, client: Client, targets: int) -> list[Checked]:
    """What Gate's rate limiter leaves for looking; nothing where there is none."""
    budget = client.budget
    if budget.capacity is None:
        return []
    takes = budget.takes(targets + len(settings.applications))
    says = f"Gate takes {budget.capacity} requests of ours in {WINDOW.total_seconds():g} s: a look at all {targets} targets takes {takes.total_seconds():g} s"
    slow = takes > LONG_ROUND
    return [Checked(what=f"{name} limit", well="warn" if slow else "ok", says=says, fix="raise rate-limit.capacity for Backout's account" if slow else "")]


async def _version(name: str, client: Client, clock: Clock) -> list[Checked]:
    reply = await client.version()
    shown = text(reply.body.get("version")) if isinstance(reply.body, Mapping) else ""
    proven = shown.startswith(PROVEN)
    says = f"{shown}, the release that was recorded" if proven else f"{shown or 'unknown'}: Backout was made by recordings of {PROVEN}x; others are unproven"
    lines = [Checked(what=f"{name} version", well="ok" if proven else "warn", says=says, fix="" if proven else "watch the first rollbacks in mode approve")]
    if reply.server_time is None:
        return [*lines, Checked(what=f"{name} clock", well="warn", says="Gate does not tell its time", fix="let the proxy pass the Date header")]
    skew = reply.server_time - clock.now()
    off = abs(skew) > SKEW
    says = f"clock {skew.total_seconds():+.1f} s"
    return [*lines, Checked(what=f"{name} clock", well="warn" if off else "ok", says=says, fix="run NTP on both machines" if off else "")]


async def _account(name: str, settings: Settings, client: Client) -> tuple[Json, Checked]:
    """Whom Gate takes us for; that the login works was proved by the protected version."""
    user = (await client.user()).body
    who = text(user.get("username")) if isinstance(user, Mapping) else ""
    what = f"{name} account"
    if settings.auth == "none" or who in {"", "anonymous"}:
        says = f"auth {settings.auth}: Gate takes everybody for {who or 'nobody'}, so whoever reaches it may do everything"
        return user, Checked(what=what, well="warn", says=says, fix="give Backout a service account and an API token (Gate 2026.2 and newer)")
    roles = [one for one in user.get("roles") or [] if isinstance(one, str)] if isinstance(user.get("roles"), list) else []
    return user, Checked(what=what, well="ok", says=f"{who} by {settings.auth}, roles {', '.join(roles) or 'none'}; nobody else may use it")


async def _application(name: str, application: str, client: Client, user: Json, targets: Sequence[ListedTarget]) -> list[Checked]:
    what = f"{name} application"
    try:
        body: Json = (await client.application(application)).body
    except RefusedError as error:
        return [Checked(what=what, well="no", says=str(error), fix="correct applications, or let the account read it")]
    shown: Body = body if isinstance(body, Mapping) else {}
    accounts = sorted({one.cluster for one in targets})
    lines = [
        Checked(
            what=what,
            well="ok" if targets else "warn",
            says=f"{application}: {_counted(targets)} in {_listed(accounts)}" if targets else f"{application}: no Deployment and no server group",
            fix="" if targets else "deploy one with Spinnaker, or wait for its cache (half a minute)",
        )
    ]
    known = await _accounts(client)
    for account in accounts:
        found = permissions_of(shown, user, account)
        may = found.allowed.get("sync")
        says = f"may act on {application} in {account}, as far as Gate tells" if may else f"may not act on {application} in {account}, or Gate does not tell"
        if known and account not in known:
            says += "; Spinnaker does not list that account any more"
        lines.append(Checked(what=f"{name} rights", well="ok" if may else "no", says=says, fix=found.fix.get("sync", "")))
    return lines


async def _no_targets(name: str, application: str, reader: Reader) -> list[Checked]:
    """What Spinnaker deployed there lately and Backout can not take back: nobody should count on it at night."""
    runs, _ = await reader.applications.ran_in(application)
    manifests = [manifest for run in runs for made in run.deployed for manifest in made.manifests]
    found = {f"{text(one.get('kind'))} {text(part(one, 'metadata').get('name'))}" for one in manifests if text(one.get("kind")).lower() in WITHOUT_HISTORY}
    if not found:
        return []
    says = f"{application}: {_listed(sorted(found))} {'is' if len(found) == 1 else 'are'} no target: Gate does not tell the history of that kind"
    return [Checked(what=f"{name} left out", well="warn", says=says, fix="go back with your own pipeline: no alert leads Backout there")]


async def _accounts(client: Client) -> frozenset[str]:
    """The accounts that Gate lists; nothing where its cache is off."""
    return frozenset(text(one.get("name")) for one in entries((await client.accounts()).body))


def _counted(targets: Sequence[ListedTarget]) -> str:
    """How many of each kind."""
    clusters = sum(bool(machines(one.objects)) for one in targets)
    words = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in ((len(targets) - clusters, "Deployment"), (clusters, "cluster")) if count]
    return " and ".join(words)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"
