"""Commands that only look: targets, check, plan, operations, incidents, alerts, audit, holds. `plan` keeps a plan in the service and changes nothing else."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from service.cli import render
from service.cli.asking import Doc, document, get, hold_id, incident_id, listing, operation_id, target_id
from service.cli.client import segment
from service.cli.exit_codes import ExitCode, of_verdict
from service.cli.failure import CommandFailed
from service.cli.session import NO_FILE, AsJson, NoColor, Server, session, terminal_of
from service.cli.terminal import as_json_text, clean

Target = Annotated[str, typer.Argument(metavar="TARGET", help="<instance>:<name>, for example prod:checkout.")]
OperationId = Annotated[str, typer.Argument(metavar="ID", help="An operation, its trace or its incident; the first six signs will do.")]
OfTarget = Annotated[str, typer.Option("--target", metavar="TARGET", help="Only of this target.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")]
Every = Annotated[bool, typer.Option("--all", help="All there are, page by page.")]


def targets(ctx: typer.Context, server: Server = "", as_json: AsJson = False, no_color: NoColor = False) -> None:
    """All targets, one line each, worst first."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    found = listing(here.service, "/v1/targets", "targets", {}, most=None)  # worst first needs them all
    here.terminal.answer(found, render.targets(found, here.terminal.now()))


def check(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="One target, read now; without, the standing verdicts of all.", show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--all", help="Show what passed too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 on a warning too.")] = False,
    repo: Annotated[
        Path, typer.Option("--repo", metavar="DIR", help="Ask Git alone: once --to is deployed, can --from run again? Needs no service.", show_default=False)
    ] = NO_FILE,
    old: Annotated[str, typer.Option("--from", metavar="REF", help="With --repo: what runs now; deployed:TARGET asks the service.", show_default=False)] = "",
    new: Annotated[str, typer.Option("--to", metavar="REF", help="With --repo: what is to be deployed.", show_default=False)] = "",
    manifests: Annotated[
        str, typer.Option("--manifests", metavar="DIR", help="With --repo: this folder's Kubernetes manifests too, from the top of the repository.")
    ] = "",
    dialect: Annotated[str, typer.Option("--dialect", metavar="postgres|mysql|sqlite", help="With --repo: whose SQL it is.", show_default=False)] = "",
    form: Annotated[str, typer.Option("--format", metavar="text|json|sarif|junit|github", help="With --repo: how the report is written.")] = "text",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="With --repo: write the report there, and a text to stdout.", show_default=False)
    ] = NO_FILE,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Whether it can go back, to what, and why not. One target now, all of them by their standing verdicts, or with --repo over a change in Git."""
    if repo != NO_FILE or old or new or manifests:
        if target:
            raise CommandFailed("a TARGET and --repo are two questions", "ask one of them", ExitCode.USAGE)
        from service.cli.commands.from_git import check_repository  # noqa: PLC0415  what the other commands do not need

        terminal = terminal_of(ctx, as_json=False, no_color=no_color)
        form = "json" if as_json else form
        file = output if output != NO_FILE else None

        def sources(named: str) -> Doc:
            there = session(ctx, server, as_json=False, no_color=no_color)
            return get(there.service, f"/v1/targets/{target_id(named)}/sources")

        code = check_repository(terminal, repo, old, new, dialect=dialect, manifests=manifests, form=form, output=file, strict=strict, sources=sources)
        raise typer.Exit(code)
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    if not target:
        every = listing(here.service, "/v1/targets", "targets", {}, most=None)
        here.terminal.answer(every, render.standings(every, here.terminal.now(), everything=everything))
        raise typer.Exit(code_of_standings(every, strict=strict))
    found = get(here.service, f"/v1/targets/{target_id(target)}/rollback-check")
    here.terminal.answer(found, render.check(found, here.terminal.now(), everything=everything))
    raise typer.Exit(code_of_check(found, strict=strict))


def code_of_standings(found: Doc, *, strict: bool) -> ExitCode:
    """By the worst standing verdict of all; a list that may lack targets, or has none, is unknown."""
    words = [str((one.get("readiness") or {}).get("verdict") or "unknown") for one in found.get("targets") or ()]
    words += ["unknown"] if not words or not found.get("complete") else []
    return of_verdict(max(words, key=render.badness_of_verdict), strict=strict)


def code_of_check(found: Doc, *, strict: bool) -> ExitCode:
    """By the verdict; a verdict without a plan is no way back, however well its findings look."""
    code = of_verdict(str(found.get("verdict")), strict=strict)
    return ExitCode.BLOCKED if code is ExitCode.DONE and not found.get("plan_digest") else code


def plan(
    ctx: typer.Context,
    target: Target,
    markdown: Annotated[bool, typer.Option("--markdown", help="The plan as a Markdown checklist.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Write it there: JSON with --json, else Markdown.", show_default=False)
    ] = NO_FILE,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What would be done to take this target back. Kept in the service; nothing is done."""
    if markdown and as_json:
        raise CommandFailed("--markdown and --json are two answers", "take one of them", ExitCode.USAGE)
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    target_id(target)
    made = document(here.service, here.service.post("/v1/plans", {"target": target}))
    checklist = ""
    if markdown or (output != NO_FILE and not as_json):
        checklist = here.service.get(f"/v1/plans/{segment(str(made.get('id')))}", accept="text/markdown").text
    if output != NO_FILE:
        write_file(output, as_json_text(made) + "\n" if as_json else checklist)
    if markdown and output == NO_FILE:
        here.terminal.write(str(clean(checklist)))
    elif output != NO_FILE:
        here.terminal.answer(made, Text(f"written to {output}"))
    else:
        here.terminal.answer(made, render.plan(made, here.terminal.now()), *render.next_of(made))
    raise typer.Exit(code_of_plan(made))


def code_of_plan(made: Doc) -> ExitCode:
    """By the verdict; a plan without steps is a closed way."""
    verdict = made.get("verdict")
    code = of_verdict(str(verdict.get("verdict")) if isinstance(verdict, dict) else "")
    return ExitCode.BLOCKED if code is ExitCode.DONE and not made.get("steps") else code


def write_file(file: Path, body: str) -> None:
    """Write text to a file that the person named."""
    try:
        file.write_text(body, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}", "name another file with --output") from error


def operations(
    ctx: typer.Context,
    target: OfTarget = "",
    state: Annotated[str, typer.Option("--state", metavar="alive|ended", help="Only those that are alive, or ended.")] = "",
    limit: Limit = 20,
    every: Every = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What is being done and was done, newest first."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    found = listing(here.service, "/v1/operations", "operations", {"target": target, "state": state}, most=None if every else limit)
    here.terminal.answer(found, render.operations(found, here.terminal.now()))


def incidents(
    ctx: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="One incident with its story, or the beginning of its id.", show_default=False)] = "",
    target: OfTarget = "",
    state: Annotated[str, typer.Option("--state", metavar="open|closed", help="Only open or closed ones.")] = "",
    limit: Limit = 20,
    every: Every = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What burns and burned, newest first; or one with its story."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    if identity:
        where = f"/v1/incidents/{segment(incident_id(here.service, identity))}"
        one, told = get(here.service, where), get(here.service, f"{where}/events")
        here.terminal.answer({**one, "events": told.get("events")}, render.incident(one, told, here.terminal.now()))
        return
    found = listing(here.service, "/v1/incidents", "incidents", {"target": target, "state": state}, most=None if every else limit)
    here.terminal.answer(found, render.incidents(found, here.terminal.now()))


def alerts(
    ctx: typer.Context,
    target: OfTarget = "",
    state: Annotated[str, typer.Option("--state", metavar="firing|ended", help="Only those that fire, or ended.")] = "",
    unplaced: Annotated[bool, typer.Option("--unplaced", help="Only those that no target could be found for.")] = False,
    limit: Limit = 20,
    every: Every = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What senders told, newest first, and what became of it."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    query = {"target": target, "state": state, "disposition": "no_target" if unplaced else ""}
    found = listing(here.service, "/v1/alerts", "alerts", query, most=None if every else limit)
    here.terminal.answer(found, render.alerts(found, here.terminal.now()))


def audit(
    ctx: typer.Context,
    identity: OperationId,
    store: Annotated[str, typer.Option("--store", metavar="URL", help="Read this store alone, without a service: sqlite:///….")] = "",
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """The whole story of an operation as one trace. Exit 1 when the trace does not fit together."""
    if store:
        from service.cli.commands.here import audit_from_store  # noqa: PLC0415  loads the service, which HTTP commands do without

        terminal = terminal_of(ctx, as_json=as_json, no_color=no_color)
        found = audit_from_store(store, identity)
    else:
        here = session(ctx, server, as_json=as_json, no_color=no_color)
        terminal = here.terminal
        found = get(here.service, f"/v1/operations/{segment(operation_id(here.service, identity))}/trace")
    terminal.answer(found, render.trace(found, terminal.width))
    if any(one.get("faults") for one in found.get("traces") or () if isinstance(one, dict)):
        raise typer.Exit(ExitCode.ERROR)


def captures(
    ctx: typer.Context,
    identity: OperationId,
    texts: Annotated[bool, typer.Option("--texts", help="The texts themselves: manifests, events, logs.")] = False,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What the target looked like before the act and after it. Shows how its manifests differ."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    query = {"texts": "true"} if texts else {}
    found = get(here.service, f"/v1/operations/{segment(operation_id(here.service, identity))}/captures", query)
    here.terminal.answer(found, render.captures(found))


def holds(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that ended too.")] = False,
    target: OfTarget = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")] = 500,
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """What keeps bad releases away. `holds show ID` says what one waits for; `holds end ID` ends it by hand."""
    if ctx.invoked_subcommand:
        return
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    query = {"state": "all" if everything else "open", "target": target}
    found = listing(here.service, "/v1/holds", "holds", query, most=limit)
    here.terminal.answer(found, render.holds(found, here.terminal.now()))


def show_hold(
    ctx: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="A hold, or the beginning of an open one's id.")],
    server: Server = "",
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """One hold: what it keeps away, and what it waits for."""
    here = session(ctx, server, as_json=as_json, no_color=no_color)
    found = get(here.service, f"/v1/holds/{segment(hold_id(here.service, identity))}")
    here.terminal.answer(found, render.hold(found, here.terminal.now()))
