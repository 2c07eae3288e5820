"""One live look at a target, whatever kind it is: what steps, facts and the record ask of it. Each kind answers in a file of its own.

A manifest answers in `manifest_facts.py`, a cluster of server groups in `group_facts.py`. What is done with every kind alike stands here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from integrations.delivery.spinnaker import canaries, runs
from integrations.delivery.spinnaker.answers import Reply
from integrations.delivery.spinnaker.doors import Door
from integrations.delivery.spinnaker.executions import Execution
from integrations.delivery.spinnaker.managed import Managed
from integrations.delivery.spinnaker.names import Address
from integrations.delivery.spinnaker.owner import doors_of, mark_of, owner_of
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.runs import OURS, Touch
from service.domain.difference import Rendered
from service.domain.keys import Act, Owner, Running, TargetState
from service.domain.model import Actor, Image, Release, TargetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked(ABC):
    """One live read of a target, with what Spinnaker ran in its application. Every kind of target answers the same questions."""

    target: TargetId
    application: str
    runs: tuple[Execution, ...]
    pipelines: tuple[Pipeline, ...]
    reply: Reply

    managed: Managed
    may_shut: bool = False
    """Whether the settings let a rollback switch triggers off."""

    deletes: ClassVar[str] = ""
    """Why a way back of this kind deletes nothing."""
    steps: ClassVar[str] = ""
    """Why this kind has no roll-out steps."""

    @property
    @abstractmethod
    def address(self) -> Address:
        """What it is to Spinnaker."""

    @property
    @abstractmethod
    def spoken(self) -> str:
        """What people call it: `deployment web`."""

    @property
    @abstractmethod
    def uid(self) -> str:
        """What tells it from another one of the same name; "" when nothing does."""

    @property
    @abstractmethod
    def leaving(self) -> bool:
        """Whether it is being deleted."""

    @property
    @abstractmethod
    def spec_digest(self) -> str:
        """Covers what a person could have edited besides deploying."""

    @property
    @abstractmethod
    def live(self) -> str:
        """Identity of what is live now, as intents keep it; "" when nobody can say."""

    @property
    @abstractmethod
    def live_says(self) -> str:
        """What is live now, in words: `revision 3`."""

    @property
    @abstractmethod
    def live_release(self) -> Release | None:
        """The release that is live now; None when nobody can say."""

    @property
    @abstractmethod
    def live_images(self) -> tuple[Image, ...]:
        """What that was made of."""

    @abstractmethod
    def revision_of(self, touch: Touch) -> str:
        """The revision, as releases carry it, that this stage has put there; "" when it does not tell, or when it is not there."""

    @abstractmethod
    def images_of(self, release: str, handle: str) -> tuple[Image, ...]:
        """Images of that release (by key); PermanentError when it is not there any more."""

    @abstractmethod
    def rendered(self, release: str, handle: str) -> tuple[Rendered, ...]:
        """The content of that release (by key); PermanentError when it is not there any more."""

    @abstractmethod
    def state(self) -> TargetState:
        """The target as the rules see it."""

    @property
    def owner(self) -> Owner:
        """Who else writes it: managed delivery before triggers, for that takes a change back at once."""
        return owner_of(self.doors, may_shut=self.may_shut, keel=self.managed.owner_in(self.address.account))

    @property
    def doors(self) -> tuple[Door, ...]:
        """The triggers through which the bad release could come back."""
        return doors_of(self.target, self.address, self.pipelines, self.touches())

    @property
    def mark(self) -> str:
        """The mark of the hold for which triggers are kept off, "" for none."""
        return mark_of(self.target, self.pipelines)

    @property
    def acting(self) -> tuple[Execution, ...]:
        """The runs that have not ended and may still change it, oldest first."""
        return runs.all_acting_on(self.runs, self.address)

    def touches(self, of: Iterable[Execution] | None = None) -> tuple[Touch, ...]:
        """What those runs (all of them) did to it, newest first."""
        return runs.touches_of(self.runs if of is None else of, self.address)


def running_of(looked: Looked) -> Running | None:
    """The run that may still change the target. What it deploys is told once its stage has made it; until then nobody knows."""
    run = next(iter(looked.acting), None)
    if run is None:
        return None
    made = next((revision for touch in looked.touches([run]) if (revision := looked.revision_of(touch))), "")
    return Running(
        by=run.by,
        ours=run.marker.startswith(OURS),
        automated=run.automated,
        phase=run.status.value,
        says=f"{'task' if run.is_task else 'pipeline'} {run.name or run.id} ({run.id}) is {run.status.value}",
        since=run.started_at or run.built_at,
        revision=made,
        measures=bool(canaries.open_canaries(run)),
        canary=canaries.left_by(run, looked.address),
    )


def acts_of(looked: Looked) -> tuple[Act, ...]:
    """What was done to the target through Spinnaker, oldest first.

    What the strategy of a deploy does to the server groups before it is part of that deploy, whose act is its beginning: red/black disables the old one
    once the new one has taken traffic, and so mostly after the trouble began.
    """
    found = looked.touches()
    deploys = {touch.stage.id for touch in found if touch.groups}
    touches = [touch for touch in found if touch.stage.parent not in deploys]
    return tuple(
        Act(
            what="operation",
            by=touch.run.by,
            at=touch.at,
            says=f"{touch.stage.kind} by {'task' if touch.run.is_task else 'pipeline'} {touch.run.name or touch.run.id}",
            ours=touch.run.marker.startswith(OURS),
        )
        for touch in reversed(touches)
    )


def by_of(touch: Touch | None) -> Actor:
    """Who put a release there, by the stage that did."""
    if touch is None:
        return Actor(kind="automation", name="nobody that Spinnaker remembers")
    return Actor(kind="service", name="backout") if touch.run.marker.startswith(OURS) else touch.run.by
