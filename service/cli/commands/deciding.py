"""Commands by which a person decides: rollback, approve, override, reject, cancel, the end of a hold, stop and resume.

A rollback is confirmed for exactly the plan that was shown, by its digest, naming each warning; the service examines the world again before it acts.
"""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from service.cli import render
from service.cli.asking import Doc, document, get, hold_id, names, operation_id, target_id
from service.cli.client import AnswerLost, Problem, Unreachable, segment
from service.cli.commands.following import Follower
from service.cli.commands.looking import OperationId, Target, code_of_plan
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from service.cli.session import NO_FILE, AsJson, NoColor, Reason, Server, Session, session, terminal_of
from service.cli.terminal import Terminal

Accept = Annotated[list[str], typer.Option("--accept", metavar="RULE,…", help="Name a rule whose warning or unknown you accept.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needs --digest.")]
Digest = Annotated[str, typer.Option("--digest", metavar="sha256:…", help="The plan you looked at (`backout plan TARGET --json`).")]
NoFollow = Annotated[bool, typer.Option("--no-follow", help="Come back as soon as the request was taken.")]

Override = Annotated[
    list[str],
    typer.Option("--override", metavar="RULE,…", help="Name a rule whose block is to be overridden; a second person has to confirm it.", show_default=False),
]

_SIGNS: Final = 6
"""Signs of the digest that a person types."""


def rollback(
    ctx: typer.Context,
    target: Target,
    yes: Yes = False,
    digest: Digest = "",
    accept: Accept = [],  # noqa: B006  typer reads it and makes a fresh list
    overriding: Override = [],  # noqa: B006  typer reads it and makes a fresh list
    reason: Reason = "",
    no_follow: NoFollow = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Take a target back: shows the plan, asks, then follows it. With `--override` a second person has to confirm it."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    target_id(target)
    accepted, overridden = names(accept), names(overriding)
    if overridden and not reason.strip():
        raise CommandFailed("an override needs a reason", "give --reason TEXT; it is kept in the record, and the second person reads it", ExitCode.USAGE)
    if not _confirmed_beforehand(here, yes=yes, digest=digest):
        made = document(here.service, here.service.post("/v1/plans", {"target": target}))
        here.terminal.show(render.plan(made, here.terminal.now()), "")
        code = code_of_plan(made)
        if code is ExitCode.BLOCKED and not overridden:
            here.terminal.show(Text("nothing was touched"))
            raise typer.Exit(code)
        _overridable(made, overridden)
        what = f"ask for an override and roll {render.text(target)} back" if overridden else f"roll {render.text(target)} back"
        digest, accepted = _confirm(here, made, str(made.get("digest")), digest, accepted, what)
    body = {"target": target, "plan_digest": digest, "accept": accepted, "reason": reason} | ({"override": overridden} if overridden else {})
    started = document(here.service, here.service.post("/v1/operations", body))
    _go_on(here, started, "taken", follow=not no_follow)


def _overridable(plan: Doc, overridden: list[str]) -> None:
    """Ends the command when the names do not fit the plan's blocks; the service would refuse it too, but a person should not be asked for nothing."""
    blocks = [str(rule) for rule in plan.get("must_override") or ()]
    if overridden and not blocks:
        verdict = plan.get("verdict")
        blocked = isinstance(verdict, dict) and verdict.get("verdict") == "block"
        why = "something that blocks here can never be overridden" if blocked else "nothing blocks, so there is nothing to override"
        raise CommandFailed(f"{why}; nothing was touched", "", ExitCode.BLOCKED if blocked else ExitCode.USAGE)
    missing = [rule for rule in blocks if rule not in overridden]
    foreign = [rule for rule in overridden if rule not in blocks]
    if missing or foreign:
        wrong = f"--override does not name {', '.join(missing)}" if missing else f"{', '.join(foreign)} does not block"
        raise CommandFailed(f"{render.text(wrong)}; nothing was touched", "name every block of the plan above, and nothing else", ExitCode.USAGE)


def override(
    ctx: typer.Context,
    identity: OperationId,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the record.")],
    yes: Yes = False,
    digest: Digest = "",
    rule: Annotated[list[str], typer.Option("--rule", metavar="RULE,…", help="Name a rule whose block you override.", show_default=False)] = [],  # noqa: B006
    accept: Accept = [],  # noqa: B006  typer reads it and makes a fresh list
    no_follow: NoFollow = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Confirm, as a second person, a plan that overrides a block. Shows the plan, asks, then follows it."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    accepted, overridden = names(accept), names(rule)
    beforehand = _confirmed_beforehand(here, yes=yes, digest=digest)
    whole = operation_id(here.service, identity)
    if not beforehand:
        waiting = get(here.service, f"/v1/operations/{segment(whole)}")
        plan, asked = waiting.get("plan"), waiting.get("override")
        if waiting.get("state") == "ended" or not isinstance(plan, dict) or not isinstance(asked, dict):
            raise CommandFailed(f"operation {render.short(whole)} asks for no override ({render.state(waiting)})", f"see `backout watch {render.short(whole)}`")
        here.terminal.show(render.plan(plan, here.terminal.now()), "", render.override_asked(waiting), "")
        shown = {**plan, "must_override": [one for one in asked.get("rules") or () if one not in overridden]}
        digest, accepted = _confirm(here, shown, str(plan.get("digest")), digest, accepted, f"override that for {render.text(waiting.get('target'))}")
        overridden = [str(one) for one in asked.get("rules") or ()]
    body = {"plan_digest": digest, "override": overridden, "accept": accepted, "reason": reason}
    taken = document(here.service, here.service.post(f"/v1/operations/{segment(whole)}/override", body))
    _go_on(here, taken, "confirmed", follow=not no_follow)


def approve(
    ctx: typer.Context,
    identity: OperationId,
    yes: Yes = False,
    digest: Digest = "",
    accept: Accept = [],  # noqa: B006  typer reads it and makes a fresh list
    reason: Reason = "",
    no_follow: NoFollow = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Approve the plan of a waiting operation. Shows the plan, asks, then follows it."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    accepted = names(accept)
    beforehand = _confirmed_beforehand(here, yes=yes, digest=digest)
    whole = operation_id(here.service, identity)
    if not beforehand:
        waiting = get(here.service, f"/v1/operations/{segment(whole)}")
        plan = waiting.get("plan")
        if waiting.get("override"):
            raise CommandFailed("this plan overrides a block, which is more than an approval", f"as a second person: backout override {render.short(whole)}")
        if waiting.get("state") == "ended" or not isinstance(plan, dict):
            raise CommandFailed(f"operation {render.short(whole)} waits for nobody ({render.state(waiting)})", f"see `backout watch {render.short(whole)}`")
        here.terminal.show(render.plan(plan, here.terminal.now()), "")
        shown = {**plan, "must_name": waiting.get("must_name") or plan.get("must_name")}
        digest, accepted = _confirm(here, shown, str(plan.get("digest")), digest, accepted, f"approve it for {render.text(waiting.get('target'))}")
    body = {"plan_digest": digest, "accept": accepted, "reason": reason}
    taken = document(here.service, here.service.post(f"/v1/operations/{segment(whole)}/approve", body))
    _go_on(here, taken, "approved", follow=not no_follow)


def _confirmed_beforehand(here: Session, *, yes: bool, digest: str) -> bool:
    """Whether the command line says it all; without a person it has to."""
    if yes and digest:
        return True
    if yes:
        raise CommandFailed("--yes confirms a plan that was looked at, so it needs --digest", "`backout plan TARGET --json` gives the digest", ExitCode.USAGE)
    if not here.terminal.a_person_is_there:
        raise CommandFailed("there is nobody to ask here", "look at `backout plan TARGET --json`, then give --yes --digest and --accept", ExitCode.USAGE)
    return False


def _confirm(here: Session, plan: Doc, shown: str, wanted: str, accepted: list[str], what: str) -> tuple[str, list[str]]:
    """Ask for each rule that an approval names, then for the beginning of the digest; answers (digest, rules). Anything but a clear yes ends the command."""
    terminal = here.terminal
    if wanted and wanted != shown:
        raise CommandFailed("the plan is another one than --digest names", "look at the plan above and decide anew")
    for rule in plan.get("must_name") or ():
        if rule in accepted:
            continue
        if terminal.ask(f"{render.text(rule)} has no yes (see above). Type its name to accept that, or Enter to stop: ") != rule:
            raise CommandFailed(f"{render.text(rule)} was not accepted; nothing was touched", "", ExitCode.ENDED)
        accepted.append(str(rule))
    for rule in plan.get("must_override") or ():
        if terminal.ask(f"{render.text(rule)} says NO (see above). Type its name to override that, or Enter to stop: ") != rule:
            raise CommandFailed(f"{render.text(rule)} was not overridden; nothing was touched", "", ExitCode.ENDED)
    beginning = shown.removeprefix("sha256:")[:_SIGNS]
    typed = terminal.ask(f"To {what}, type {beginning} (the plan's digest), or Enter to stop: ").removeprefix("sha256:").lower()
    if len(typed) < _SIGNS or not shown.removeprefix("sha256:").startswith(typed):
        raise CommandFailed("not confirmed; nothing was touched", "", ExitCode.ENDED)
    return shown, accepted


def _go_on(here: Session, started: Doc, what: str, *, follow: bool) -> None:
    if not follow:
        here.terminal.answer(started, render.request_taken(started, what))
        return
    raise typer.Exit(Follower(session=here, identity=str(started.get("id"))).follow(until_waiting=True))


def watch(
    ctx: typer.Context,
    identity: OperationId,
    stop_when_waiting: Annotated[bool, typer.Option("--stop-when-waiting", help="Exit 6 as soon as it waits for a person.")] = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Follow an operation live until it ended. Ctrl-C stops the watching, not the operation. `--json`: one object a line, as it happens."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    follower = Follower(session=here, identity=operation_id(here.service, identity), lines=True)
    raise typer.Exit(follower.follow(until_waiting=stop_when_waiting))


def reject(ctx: typer.Context, identity: OperationId, reason: Reason = "", server: Server = "", as_json: AsJson = False, no_color: NoColor = False) -> None:
    """Reject the plan of a waiting operation."""
    _tell(session(ctx, server, as_json=as_json, no_color=no_color), identity, "reject", reason, "rejected")


def cancel(ctx: typer.Context, identity: OperationId, reason: Reason = "", server: Server = "", as_json: AsJson = False, no_color: NoColor = False) -> None:
    """Ask an operation to stop. What it wrote is taken back where that is possible."""
    _tell(session(ctx, server, as_json=as_json, no_color=no_color), identity, "cancel", reason, "asked to stop")


def _tell(here: Session, identity: str, verb: str, reason: str, what: str) -> None:
    path = f"/v1/operations/{segment(operation_id(here.service, identity))}/{verb}"
    taken = document(here.service, here.service.post(path, {"reason": reason}))
    here.terminal.answer(taken, render.request_taken(taken, what))


def end_hold(
    ctx: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="A hold, or the beginning of its id.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the record.")],
    leave_auto_sync_off: Annotated[bool, typer.Option("--leave-auto-sync-off", help="End the hold alone; auto-sync stays off.")] = False,
    accept_bad: Annotated[bool, typer.Option("--accept-bad", help="Let the held release come back.")] = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """End a hold by hand; auto-sync is given back as it was."""
    if leave_auto_sync_off and accept_bad:
        raise CommandFailed("--leave-auto-sync-off and --accept-bad say two different things", "take one of them", ExitCode.USAGE)
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    whole = hold_id(here.service, identity)
    body = {"reason": reason, "leave_auto_sync_off": leave_auto_sync_off, "accept_bad": accept_bad}
    done = document(here.service, here.service.post(f"/v1/holds/{segment(whole)}/end", body))
    here.terminal.answer(done, render.hold_ended(done))


def stop(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the switch.")] = "no reason given",
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="If the service is away: write the stop file of these settings.", show_default=False)
    ] = NO_FILE,
    history: Annotated[bool, typer.Option("--history", help="Only show who stopped and resumed, when and why.")] = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Stop everything: nothing is changed any more, on any target. `--history` only looks."""
    if history:
        looks = session(ctx, server, as_json=as_json, no_color=no_color)
        switch, told = get(looks.service, "/v1/stop"), get(looks.service, "/v1/stop/events")
        looks.terminal.answer({**switch, "events": told.get("events")}, render.stop_history(switch, told))
        return
    terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
    given = config if config != NO_FILE else Path(terminal.environment.get("BACKOUT_CONFIG", ""))
    try:
        here = session(ctx, server, as_json=as_json, no_color=no_color)
        switch = document(here.service, here.service.put("/v1/stop", {"reason": reason}))
    except CommandFailed as failed:
        away = isinstance(failed, Unreachable) or (isinstance(failed, Problem) and failed.status >= 500)  # noqa: PLR2004  the service's own failures
        if away and given != NO_FILE:
            _stop_by_file(terminal, given, reason, failed.cause)
            return
        known = "it is NOT KNOWN whether it stopped" if isinstance(failed, AnswerLost) else "NOT stopped"
        by_file = "on the service's machine: `backout stop --config FILE` writes its stop file" if away else failed.next_step
        raise CommandFailed(f"{known}: {failed.cause}", by_file, failed.code) from failed
    terminal.answer({**switch, "by": "service"}, render.stop(switch))


def _stop_by_file(terminal: Terminal, config: Path, reason: str, cause: str) -> None:
    from service.cli.commands.here import write_stop_file  # noqa: PLC0415  loads the service, which HTTP commands do without

    file = write_stop_file(config, reason)
    terminal.answer(
        {"stopped": True, "reason": reason, "by": "file", "file": str(file)},
        Text(f"{cause}, so the stop file was written: {file}"),
        Text(f"A service with the settings {config} on this machine sees it before its next effect. To go on: backout resume, or remove the file."),
    )


def resume(ctx: typer.Context, server: Server = "", as_json: AsJson = False, no_color: NoColor = False) -> None:
    """Take the stop back."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    switch = document(here.service, here.service.delete("/v1/stop"))
    here.terminal.answer(switch, render.stop(switch))
    if switch.get("stopped"):
        raise typer.Exit(ExitCode.ERROR)
