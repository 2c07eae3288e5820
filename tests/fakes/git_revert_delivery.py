"""A delivery system unlike Argo CD: going back is a revert commit on a forge, which lands later and is deployed later still, and answers get lost.

It proves that the port is shaped by the story and not by one system: acts are asynchronous, and what became of one is found by the mark in its commit.
Nothing here moves by itself: a test says when the forge merges and when the deployer deploys.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from service.domain import keys
from service.domain.errors import PermanentError, RefusedError, TemporaryError
from service.domain.facts import Absent, Evidence, Fact, Key, Known
from service.domain.keys import Act, Owner, TargetState, Window
from service.domain.model import Actor, Json, ObjectRef, Release, Source, TargetId, Way, release_key
from service.domain.planning.plan import Offer, Step
from service.domain.ports import Basket, Captured, Checked, Clock, Guard, Intention, ListedTarget, Listing, Observation, Seen
from service.domain.rule import Case

SETTLED_AFTER = timedelta(seconds=20)
ME = Actor(kind="service", name="backout-bot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit on the branch: the tree it gives (what is deployed), by whom, and the mark in its message."""

    number: int
    tree: str
    by: Actor
    mark: str = ""


@dataclass(slots=True)
class Forge:
    """The branch, what waits to be merged, and what the deployer made of it. `lose_answers` and `drop_requests` count down."""

    clock: Clock
    uid: str = "repo-1"
    branch: list[Release] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    waiting: list[Commit] = field(default_factory=list)
    rejected: list[Commit] = field(default_factory=list)
    deployed: int = -1
    deploy_failed: str = ""
    frozen: bool = False
    lose_answers: int = 0
    drop_requests: int = 0
    requests: int = 0
    listeners: list[asyncio.Event] = field(default_factory=list)

    def _tell(self) -> None:
        for listener in self.listeners:
            listener.set()

    def push(self, tree: str, by: Actor, mark: str = "") -> Commit:
        """A commit straight onto the branch, deployed at once (how releases come to be)."""
        commit = Commit(number=len(self.commits), tree=tree, by=by, mark=mark)
        self.commits.append(commit)
        self.deployed = commit.number
        self._tell()
        return commit

    def propose_revert(self, tree: str, by: Actor, mark: str) -> None:
        """The forge's API: ask for a revert to a tree; it waits for its checks."""
        self.requests += 1
        if self.drop_requests:
            self.drop_requests -= 1
            raise TemporaryError("the forge could not be reached")
        self.waiting.append(Commit(number=-1, tree=tree, by=by, mark=mark))
        if self.lose_answers:
            self.lose_answers -= 1
            raise TemporaryError("the forge did not answer")

    def merge(self) -> None:
        """What waits lands on the branch."""
        for commit in self.waiting:
            self.commits.append(replace(commit, number=len(self.commits)))
        self.waiting.clear()
        self._tell()

    def close(self, mark: str) -> None:
        """Whoever asked for it takes it back."""
        self.rejected += [commit for commit in self.waiting if commit.mark == mark]
        self.waiting = [commit for commit in self.waiting if commit.mark != mark]

    def reject(self) -> None:
        """The checks of what waits fail."""
        self.rejected += self.waiting
        self.waiting.clear()

    def deploy(self) -> None:
        """The deployer takes the head of the branch."""
        self.deployed = len(self.commits) - 1
        self._tell()


class GitRevertDelivery:
    """One target, `git:shop`, kept by a forge and a deployer."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self.target = TargetId("git", "shop")

    @property
    def instance(self) -> str:
        """The first half of its targets' ids."""
        return "git"

    @property
    def kinds(self) -> frozenset[str]:
        """Only what this system can know."""
        return frozenset({"state", "acts", "sync window"})

    async def targets(self) -> Listing:
        """The one target."""
        state = await self.look(self.target)
        listed = ListedTarget(
            target=self.target,
            project="shop",
            namespace="shop",
            health=state.health,
            desired_revision=state.desired_revision,
            stamp=state.spec_digest,
            objects=(),
        )
        return Listing(targets=(listed,), complete=True)

    async def changes(self) -> AsyncIterator[TargetId | None]:
        """What the forge's webhook says: that something happened, not what."""
        heard = asyncio.Event()
        self._forge.listeners.append(heard)
        try:
            yield None
            while True:
                await heard.wait()
                heard.clear()
                yield self.target
        finally:
            self._forge.listeners.remove(heard)

    def _release(self, commit: Commit) -> Release:
        sources = (Source(repository="forge/shop", path="deploy", revision=commit.tree),)
        at = self._forge.clock.now() - timedelta(hours=1) + timedelta(minutes=commit.number)
        return Release(target=self.target, key=release_key(sources), handle=str(commit.number), sources=sources, started_at=at, deployed_at=at, by=commit.by)

    async def capture(self, target: TargetId, into: Basket) -> None:
        """Says that it was here."""
        into.items.append(Captured(kind="manifest", name=f"Deployment {target.name}", text="{}"))

    async def look(self, target: TargetId) -> TargetState:
        """The target now."""
        if target != self.target:
            raise RefusedError(f"there is no {target}")
        history = tuple(self._release(c) for c in reversed(self._forge.commits[: self._forge.deployed + 1]))
        return TargetState(
            target=target,
            uid=self._forge.uid,
            title="shop",
            project="shop",
            current=history[0] if history else None,
            history=history,
            desired_revision=self._forge.commits[-1].tree,
            auto_sync=True,
            remembered={},
            owner=Owner(kind="nobody"),
            running=None,
            health="Healthy",
            spec_digest=f"{self._forge.uid}:{len(self._forge.commits)}",
            objects=(ObjectRef(group="apps", kind="Deployment", namespace="shop", name="shop"),),
        )

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """A fact, or Absent."""
        values: dict[str, Any] = {}
        if key == keys.state(self.target):
            values[key.kind] = await self.look(self.target)
        elif key == keys.window(self.target):
            values[key.kind] = Window(open=True, says="there are no windows")
        elif key == keys.acts(self.target):
            values[key.kind] = tuple(
                Act(what="history", by=c.by, at=self._release(c).started_at, says=f"commit {c.number}", ours=c.by == ME) for c in self._forge.commits
            )
        if key.kind not in values:
            return Absent(f"the forge knows nothing of the {key.kind}")
        evidence = Evidence(source="forge", what=str(key), read_at=self._forge.clock.now())
        return Known(value=values[key.kind], evidence=evidence, good_for=timedelta(seconds=30))

    def offers(self, case: Case) -> tuple[Offer, ...]:
        """A revert, whatever was deployed before."""
        if case.goal is None:
            return (Offer(way=Way.GIT_REVERT, steps=(), because="the forge keeps every commit", impossible=case.why_none or "no goal"),)
        step = Step(
            name="revert",
            says=f"Revert the branch to {case.goal.title}",
            parameters={"tree": case.goal.revision},
            done_when="the revert commit is deployed",
            fallback="revert by hand",
            command="git revert --no-edit HEAD",
        )
        return (Offer(way=Way.GIT_REVERT, steps=(step,), because="what is on the branch is what runs"),)

    async def intend(self, step: Step, intention: Intention) -> Mapping[str, Json]:
        """The branch is as the plan assumed, or RefusedError."""
        if step.name != "revert":
            raise PermanentError(f"the forge knows no step {step.name!r}")
        if self._forge.uid != intention.uid:
            raise RefusedError("the repository is another one now")
        head = self._forge.commits[-1]
        if head.by != ME and str(head.number) != intention.suspect.handle:
            raise RefusedError(f"{head.by.name} pushed commit {head.number} since")
        return {"mark": f"{intention.operation_id}/{step.name}", "tree": intention.goal.revision, "head": head.number, "at": intention.at.isoformat()}

    async def act(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:
        """Ask for the revert once; that it lands is for `observe`."""
        seen = await self.observe(step, intent)
        if seen.seen in {Seen.RUNNING, Seen.DONE}:
            return
        if seen.seen is not Seen.NOT_SEEN:
            raise RefusedError(seen.says)
        await guard()
        self._forge.propose_revert(str(intent["tree"]), ME, str(intent["mark"]))

    async def observe(self, step: Step, intent: Mapping[str, Json]) -> Observation:  # noqa: ARG002  the port's shape; one step needs no telling apart
        """By the mark: waiting or merged = running, deployed = done, rejected = failed; another commit on top = somebody else's."""
        mark = str(intent["mark"])
        own = next((c for c in self._forge.commits if c.mark == mark), None)
        later = [c for c in self._forge.commits if c.number > int(intent["head"]) and c.mark != mark]
        if later:
            return Observation(seen=Seen.FOREIGN, says=f"{later[0].by.name} pushed commit {later[0].number} meanwhile")
        if any(c.mark == mark for c in self._forge.rejected):
            return Observation(seen=Seen.FAILED, says="the revert was refused by the forge's checks, or closed")
        if own is not None and self._forge.deployed >= own.number:
            return Observation(seen=Seen.DONE, says=f"commit {own.number} is deployed")
        if self._forge.frozen and any(c.mark == mark for c in self._forge.waiting):
            return Observation(seen=Seen.STUCK, says="the branch is frozen: the revert lands when that ends", withdrawable=True)
        if own is not None or any(c.mark == mark for c in self._forge.waiting):
            return Observation(seen=Seen.RUNNING, says="the revert is on its way")
        until = datetime.fromisoformat(str(intent["at"])) + SETTLED_AFTER
        return Observation(seen=Seen.NOT_SEEN, says="no revert of ours is seen", not_seen_until=until)

    async def withdraw(self, step: Step, intent: Mapping[str, Json], guard: Guard) -> None:  # noqa: ARG002  see `observe`
        """Close what waits."""
        if any(commit.mark == intent["mark"] for commit in self._forge.waiting):
            await guard()
            self._forge.close(str(intent["mark"]))

    async def check(self) -> Sequence[Checked]:
        """One line."""
        return (Checked(what="forge", well="ok", says=f"{len(self._forge.commits)} commits"),)

    async def close(self) -> None:
        """Nothing is open."""
