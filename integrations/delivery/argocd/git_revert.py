"""The revert in Git, as a plan for a person: exact commands to type, the words for the pull request. Backout itself never writes to Git. Pure."""

import json
import shlex
from collections.abc import Sequence

from integrations.delivery.argocd import reading
from integrations.delivery.argocd.steps import commands
from service.domain.keys import TargetState
from service.domain.model import Release, Source
from service.domain.planning.plan import Step

FULL = 40
"""Length of a commit id; what is followed by its full id moves with no commit."""


def plan(state: TargetState, suspect: Release, goal: Release) -> tuple[Step, ...]:
    """The steps of a person, in order: one revert for each source that differs, then seeing it deployed."""
    pairs = list(zip(suspect.sources, goal.sources, strict=False)) if len(suspect.sources) == len(goal.sources) else []
    changed = [(old, new, i) for i, (old, new) in enumerate(pairs) if old != new]
    steps = [_revert(state, suspect, goal, old, new, _follows(state, i)) for old, new, i in changed]
    return (*(steps or (_declare(state, suspect, goal),)), _deploy(state, goal))


def _follows(state: TargetState, place: int) -> str:
    return state.follows[place] if place < len(state.follows) else ""


def _revert(state: TargetState, suspect: Release, goal: Release, bad: Source, good: Source, follows: str) -> Step:
    same_place = (bad.repository, bad.path, bad.parameters) == (good.repository, good.path, good.parameters)
    commits = len(good.revision) == FULL and len(bad.revision) == FULL
    if not (same_place and commits and follows != bad.revision):
        return _declare(state, suspect, goal)
    title, path = f"Revert {state.title} to {goal.title}", bad.path or "."
    body = f"Release {suspect.title} of {state.target} is taken back. This makes {path} what it was at {good.revision}; {bad.revision} is undone for it."
    return Step(
        name="revert_in_git",
        says=(
            f"Revert commit {bad.revision[:7]} of {bad.repository} on {follows or 'the default branch'}: "
            f"make {path} what it was at {good.revision[:7]}, and open a pull request titled “{title}”"
        ),
        owner="person",
        parameters={
            "repository": bad.repository,
            "revert": bad.revision,
            "to": good.revision,
            "path": bad.path,
            "branch": follows,
            "title": title,
            "body": body,
        },
        done_when=f"`git diff --exit-code {good.revision} HEAD -- {path}` prints nothing, and it is merged",
        fallback=f"where the change lies outside of {path} (a base, a values file): git revert --no-edit {bad.revision}",
        command=_commands(bad, good, follows, title, body),
    )


def _commands(bad: Source, good: Source, follows: str, title: str, body: str) -> str:
    """Lines for a shell; every value is quoted, and each line stops the next when it fails."""
    folder, branch = f"backout-revert-{bad.revision[:7]}", f"backout/revert-{bad.revision[:7]}"
    path = bad.path or "."
    lines: Sequence[Sequence[str]] = (
        ("git", "clone", *(("--branch", follows) if follows and follows != "HEAD" else ()), "--", bad.repository, folder),
        ("cd", folder),
        ("git", "log", "--oneline", f"{good.revision}..{bad.revision}", "--", path),
        ("git", "switch", "--create", branch),
        ("git", "restore", f"--source={good.revision}", "--staged", "--worktree", "--", path),
        ("git", "commit", "--message", title, "--message", body),
        ("git", "push", "--set-upstream", "origin", branch),
    )
    return " &&\n".join(shlex.join(line) for line in lines)


def _declare(state: TargetState, suspect: Release, goal: Release) -> Step:
    """What differs is not a commit of one folder: the owner's own declaration names the release."""
    owner = " ".join(part for part in (state.owner.kind, state.owner.name) if part and part != "nobody") or "whoever declares the application"
    wanted = [{"repoURL": one.repository, "path": one.path, "revision": one.revision} for one in goal.sources]
    return Step(
        name="declare_in_git",
        says=f"Where {owner} declares {state.title}, put its sources back from release {suspect.title} to release {goal.title}: {json.dumps(wanted)}",
        owner="person",
        parameters={"sources": wanted},
        done_when=f"Argo CD shows {goal.revision} as the revision that is wanted",
        fallback="the parameters of the old release stand in its history entry: argocd app history",
        command=commands.argocd(reading.app_ref(state.target), "history"),
    )


def _deploy(state: TargetState, goal: Release) -> Step:
    ref = reading.app_ref(state.target)
    look = commands.argocd(ref, "get", then=("--refresh",)) if state.auto_sync else commands.argocd(ref, "sync")
    how = "auto-sync does it by itself" if state.auto_sync else "sync by hand"
    return Step(
        name="see_it_deployed",
        says=f"See Argo CD deploy it: {how}, hooks run, and {state.title} is Synced and Healthy",
        owner="person",
        done_when=f"{state.title} runs the images of release {goal.title}",
        command=" &&\n".join((look, commands.argocd(ref, "wait", then=("--sync", "--health", "--timeout", "600")))),
    )
