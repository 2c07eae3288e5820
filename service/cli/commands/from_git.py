"""`backout check --repo`: once this is deployed, can we go back? From Git alone, for a pipeline. No service, no settings, no network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.cli.exit_codes import ExitCode, of_verdict
from service.cli.failure import CommandFailed
from service.cli.render import text
from service.cli.reports import FORMS, Entry, Report, as_text, summary
from service.cli.terminal import Terminal

if TYPE_CHECKING:
    from service.domain.pull_request import Deployed

FORMATS: Final = ("text", *FORMS)
DIALECTS: Final = ("postgres", "mysql", "sqlite")
TITLE: Final = "backout check --repo"


DEPLOYED: Final = "deployed:"
"""`--from deployed:TARGET`: the source revision of what that target runs, as its Backout tells."""


def check_repository(
    terminal: Terminal,
    repo: Path,
    old: str,
    new: str,
    *,
    dialect: str,
    manifests: str,
    form: str,
    output: Path | None,
    strict: bool,
    sources: Callable[[str], Mapping[str, Any]],
) -> ExitCode:
    """Judge the range, write the report in its form (to `output`, if given, and then a text to stdout), and answer the exit code.

    `sources` asks the service for what a target was built from; it is called only for `--from deployed:TARGET`.
    """
    if not old or not new:
        raise CommandFailed("--repo compares two revisions", "name both: --from REF (what runs) --to REF (what is to be deployed)", ExitCode.USAGE)
    if form not in FORMATS:
        raise CommandFailed(f"there is no format {form!r}", f"take one of {', '.join(FORMATS)}", ExitCode.USAGE)
    if dialect and dialect not in DIALECTS:
        raise CommandFailed(f"there is no dialect {dialect!r}", f"take one of {', '.join(DIALECTS)}", ExitCode.USAGE)
    deployed = sources(old.removeprefix(DEPLOYED)) if old.startswith(DEPLOYED) else None
    report = _report(terminal, repo, old, new, dialect=dialect, manifests=manifests, strict=strict, deployed=deployed)
    if output is not None:
        _write(output, FORMS[form](report) + "\n" if form in FORMS else _as_plain_text(report))
        terminal.show(as_text(report))
    elif form in FORMS:
        terminal.write(FORMS[form](report))
    else:
        terminal.show(as_text(report))
    if form == "github" and (where := terminal.environment.get("GITHUB_STEP_SUMMARY")):
        _write(Path(where), summary(report), append=True)
    return ExitCode(report.code)


def _report(terminal: Terminal, repo: Path, old: str, new: str, *, dialect: str, manifests: str, strict: bool, deployed: Mapping[str, Any] | None) -> Report:
    from service.domain.errors import BackoutError  # noqa: PLC0415  see commands.here
    from service.domain.pull_request import MissingHistoryError, NoFolderError, NoRepositoryError, NotDeployedFromHereError  # noqa: PLC0415  see commands.here
    from service.wiring.from_git import judge_repository, not_decided  # noqa: PLC0415  see commands.here

    try:
        judged = judge_repository(
            repo,
            old,
            new,
            dialect=dialect or "unknown",
            today=terminal.now().date(),
            manifests=manifests or None,
            deployed=_deployed(deployed),
        )
    except (MissingHistoryError, NotDeployedFromHereError) as error:
        raise CommandFailed(str(error), error.clears, ExitCode.UNKNOWN) from error
    except NoRepositoryError as error:
        raise CommandFailed(str(error), "name the folder of a clone: --repo .", ExitCode.USAGE) from error
    except NoFolderError as error:
        raise CommandFailed(str(error), "name a folder from the top of the repository: --manifests deploy", ExitCode.USAGE) from error
    except BackoutError as error:
        raise CommandFailed(f"nobody can say: {error}", "mend that, or read the migrations yourself", ExitCode.UNKNOWN) from error
    entries = tuple(
        Entry(
            rule=one.rule,
            answer=one.answer.word,
            path=one.path,
            line=one.line,
            says=one.says,
            why=one.why,
            do=one.do,
            statement=one.statement,
            waived=one.waived,
        )
        for one in judged.found
    )
    return Report(
        title=TITLE,
        about={"from": old, "to": new},
        answer=judged.answer.word,
        says=judged.says,
        code=int(of_verdict(judged.answer.word, strict=strict)),
        entries=entries,
        harmless=judged.harmless,
        remarks=judged.remarks,
        not_decided=not_decided(manifests=bool(manifests)),
    )


def _deployed(told: Mapping[str, Any] | None) -> "Deployed | None":
    """The service's answer, of which nothing is believed but texts: what it does not say is not known."""
    from service.domain.pull_request import Deployed  # noqa: PLC0415  see commands.here

    if told is None:
        return None
    target, release = text(told.get("target")), told.get("release")
    images = [one for one in told.get("images") or () if isinstance(one, Mapping)]
    if not images:
        raise CommandFailed(
            f"from which commit {target} was built is not known: {text(told.get('why')) or 'the service names no image'}",
            f"`backout check {target} --all` says what is missing; or name the commit that runs: --from COMMIT",
            ExitCode.UNKNOWN,
        )
    return Deployed(
        target=target,
        title=text(release.get("title")) if isinstance(release, Mapping) else "",
        revisions=tuple((text(one.get("repository")), text(one.get("revision"))) for one in images if one.get("revision")),
        unclear=tuple((text(one.get("image")), text(one.get("why")) or "it does not say") for one in images if not one.get("revision")),
    )


def _as_plain_text(report: Report) -> str:
    from io import StringIO  # noqa: PLC0415  only here

    page = StringIO()
    Terminal(stdout=page, environment={}).show(as_text(report))
    return page.getvalue()


def _write(file: Path, body: str, *, append: bool = False) -> None:
    try:
        with file.open("a" if append else "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(body)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}", "name another file") from error
