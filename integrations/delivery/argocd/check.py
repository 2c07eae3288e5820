"""`backout doctor` for one Argo CD: one line each for what the service will need, with the fix. Reads only."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.client import AppRef, Client
from integrations.delivery.argocd.facts import ACTIONS, VERBS, Reader, action_right, policy_line
from integrations.delivery.argocd.settings import Settings
from service.domain.errors import BackoutError
from service.domain.keys import Owner, step_wise
from service.domain.model import Mode, Way
from service.domain.own_statements import counted
from service.domain.ports import Checked, Clock, Listing

PROVEN = (3, 2)
"""The contract suite ran against this version."""
SKEW = timedelta(seconds=5)
FIRST_WORD = 3.0
"""Seconds in which a watch must have told of the first application; recorded: 0.01 s."""
NAMED = 5
"""So many applications are named in one line."""
WITHOUT = {
    "abort": "without it a canary on its way is ended by the rollback itself, a second later",
    "promote": "needed only by targets with promote_full: true",
}
"""What it means not to hold a right to act on Rollouts."""
WHAT_FOR = {"get": "read", "sync": "roll back", "update": "stop auto-sync"}


async def check(settings: Settings, client: Client, reader: Reader, clock: Clock) -> Sequence[Checked]:
    """All lines; the first failure to reach the server is the only one."""
    name = f"argocd {settings.name}"
    lines: list[Checked] = []
    try:
        lines += await _version(name, client, clock)
        account, line = await _account(name, client)
        lines += [line, *await _namespace(name, settings, client)]
        applications = await _applications(name, settings, client, reader, account)
        lines += [*applications, await _watch(name, reader)]
    except BackoutError as error:
        lines.append(Checked(what=name, well="no", says=str(error), fix=f"check url, token_file and ca_file of {settings.name}"))
    return lines


async def _version(name: str, client: Client, clock: Clock) -> list[Checked]:
    reply = await client.version()
    shown = reading.text(reply.body.get("Version"))
    version = reading.parse_version(shown)
    lines = []
    if version < reading.ENABLED_SINCE:
        says = f"{shown}: mode {Mode.AUTO.word} is refused below v3.1, which cannot stop auto-sync without forgetting its settings"
        lines.append(Checked(what=f"{name} version", well="no", says=says, fix="upgrade Argo CD to v3.1 or later"))
    elif version != PROVEN:
        says = f"{shown}: Backout was proven on v{PROVEN[0]}.{PROVEN[1]}; other versions are unproven"
        lines.append(Checked(what=f"{name} version", well="warn", says=says, fix="watch the first rollbacks in mode approve"))
    else:
        lines.append(Checked(what=f"{name} version", well="ok", says=shown))
    if reply.server_time is None:
        return [*lines, Checked(what=f"{name} clock", well="warn", says="the server does not tell its time", fix="let the proxy pass the Date header")]
    skew = reply.server_time - clock.now()
    off = abs(skew) > SKEW
    says = f"clock {skew.total_seconds():+.1f} s"
    return [*lines, Checked(what=f"{name} clock", well="warn" if off else "ok", says=says, fix="run NTP on both machines" if off else "")]


async def _account(name: str, client: Client) -> tuple[str, Checked]:
    body = (await client.user_info()).body
    account = reading.text(body.get("username"))
    what, fix = f"{name} account", "create an account of its own: accounts.backout: apiKey in argocd-cm, and a token for it"
    if not body.get("loggedIn") or not account:
        return "", Checked(what=what, well="no", says="Argo CD does not accept the token (missing, expired or revoked)", fix=fix)
    if account == "admin":
        return account, Checked(what=what, well="no", says="the token is admin's: our acts could not be told from a person's", fix=fix)
    return account, Checked(what=what, well="ok", says=f"{account}; nobody else may use it, or acts are taken for Backout's")


async def _namespace(name: str, settings: Settings, client: Client) -> list[Checked]:
    found = reading.text((await client.settings()).body.get("controllerNamespace"))
    if found in {"", settings.namespace}:
        return []
    says = f"the control plane is in namespace {found}, the settings say {settings.namespace}: targets would be named wrongly"
    return [Checked(what=f"{name} namespace", well="no", says=says, fix=f"namespace: {found}")]


async def _applications(name: str, settings: Settings, client: Client, reader: Reader, account: str) -> list[Checked]:
    listing = await reader.targets()
    projects = settings.projects or tuple(sorted({listed.project for listed in listing.targets if listed.project}))
    count = len(listing.targets)
    well = "ok" if listing.complete and count else "warn"
    says = (
        f"{counted(count, 'application')} in {counted(len(projects), 'project')}"
        if count
        else "no applications; without the right to read them the list is empty too"
    )
    fix = (
        f"name the projects in the settings, or add: {policy_line(account or 'ACCOUNT', 'get', AppRef(name='*', project='*'))}" if not listing.complete else ""
    )
    lines = [Checked(what=f"{name} applications", well=well, says=f"{says}; {listing.says}" if listing.says else says, fix=fix)]
    for project in projects:
        ref = AppRef(name="*", project=project)
        for verb in VERBS:
            yes = await client.can_i(verb, ref.object)
            line = policy_line(account or "ACCOUNT", verb, ref)
            says = f"may {'' if yes else 'not '}{WHAT_FOR[verb]} on {project}/*"
            lines.append(Checked(what=f"{name} rights", well="ok" if yes else "no", says=says, fix="" if yes else f"add to policy.csv:  {line}"))
    return [*lines, *await _rollouts(name, reader, listing, account), *await _owned(name, client, reader, projects)]


async def _rollouts(name: str, reader: Reader, listing: Listing, account: str) -> list[Checked]:
    """Where a project has Rollouts, the rights to act on them; asked on one application of each, for RBAC lines are mostly a project's."""
    one_of_each = {listed.project: listed for listed in reversed(listing.targets) if step_wise(listed.objects)}
    lines = []
    for project, listed in sorted(one_of_each.items()):
        looked = await reader.get(listed.target)
        for word, action in ACTIONS.items():
            yes = await reader.may_run(looked, action)
            line = policy_line(account or "ACCOUNT", action_right(action), AppRef(name="*", project=project))
            says = f"may {'' if yes else 'not '}{word} Rollouts on {project}/* (asked for {listed.target.name}); {WITHOUT[word]}"
            lines.append(
                Checked(what=f"{name} rollouts", well="ok" if yes or word != "abort" else "warn", says=says, fix="" if yes else f"add to policy.csv:  {line}")
            )
    return lines


async def _watch(name: str, reader: Reader) -> Checked:
    """Opens the watch for a moment."""
    what, fix = f"{name} watch", "let the proxy before Argo CD pass streams without buffering, or set watch: false"
    changes = reader.changes()
    if changes is None:
        return Checked(what=what, well="ok", says="switched off: a change is noticed by the next list")
    try:
        async with contextlib.aclosing(changes) as hints, asyncio.timeout(FIRST_WORD):  # type: ignore[type-var]  # it is a generator
            await anext(hints)
    except TimeoutError:
        says = f"nothing came within {FIRST_WORD:g} s; without a single application that is so, else changes are noticed by the next list only"
        return Checked(what=what, well="warn", says=says, fix=fix)
    except BackoutError as error:
        return Checked(what=what, well="warn", says=f"{error}; changes are noticed by the next list only", fix=fix)
    return Checked(what=what, well="ok", says="open: a change is noticed within a second")


async def _owned(name: str, client: Client, reader: Reader, projects: Sequence[str]) -> list[Checked]:
    """Applications whose owner would undo a rollback, by owner, each with the fix. The projected list has no owners, so whole objects are read, once."""
    found: dict[tuple[str, str], tuple[Owner, list[str]]] = {}
    sets: dict[str, reading.Body] = {}
    for project in projects:
        for app in reading.entries((await client.whole_applications(project)).body.get("items")):
            owner = await reader.owner(app, sets)
            undoing = owner.undoing(Way.ROLLBACK) or next((one for one in owner.all if one.later), None)
            if undoing is not None:
                found.setdefault((undoing.kind, undoing.name), (undoing, []))[1].append(reading.text(reading.part(app, "metadata").get("name")))
    return [
        Checked(what=f"{name} owners", well="warn", says=f"{_listed(apps)}: {owner.says}", fix=owner.fix or "go back in Git") for owner, apps in found.values()
    ]


def _listed(apps: Sequence[str]) -> str:
    more = f" and {len(apps) - NAMED} more" if len(apps) > NAMED else ""
    return f"{len(apps)} application{'s' if len(apps) != 1 else ''} ({', '.join(sorted(apps)[:NAMED])}{more})"
