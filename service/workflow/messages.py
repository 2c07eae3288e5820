"""What the person on call is told, as JSON with the text in it: title, why, what now, where to look. Said in the sentences of the findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.model import Episode, Json, Operation, Outcome, TargetId, Way
from service.domain.planning.plan import Plan
from service.domain.ports import Message
from service.domain.readiness import Standing
from service.domain.secrets import without_secrets
from service.domain.verdict import Answer, Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Where messages go (outbox channels such as `notify:on-call`) and the addresses that links are made of; "" = no link."""

    channels: tuple[str, ...] = ()
    public_url: str = ""
    trace_link: str = ""

    @property
    def anybody(self) -> bool:
        """Whether anybody would hear."""
        return bool(self.channels)


def message(
    told: Told,
    *,
    key: str,
    title: str,
    text: Sequence[str],
    at: datetime,
    event: str,
    operation: Operation | None = None,
    plan: Plan | None = None,
    extra: Mapping[str, Json] | None = None,
) -> tuple[Message, ...]:
    """One message for every channel. `event` is a closed word for machines (recovered, refused, approval_wanted, …).

    What it quotes of others (annotations, labels, errors) is cleared of secrets: a message goes to a chat.
    """
    lines = [line for line in text if line]
    body: dict[str, Json] = {
        "event": event,
        "at": at.isoformat().replace("+00:00", "Z"),
        "title": title,
        "text": "\n".join([title, *lines]),
        **(extra or {}),
    }
    if operation is not None:
        body |= {
            "operation": operation.id,
            "target": str(operation.target),
            "incident": operation.incident_id,
            "mode": operation.mode.word,
            "trace_id": operation.trace_id,
            "links": _links(told, operation),
        }
    if plan is not None:
        body |= {"plan_digest": plan.digest, "from": plan.suspect.title, "to": plan.goal.title}
    told_so = without_secrets(body)
    return tuple(Message(channel=channel, key=key, body=told_so) for channel in told.channels)


def also(one: Message, line: str, targets: Sequence[TargetId]) -> Message:
    """The message with a line about other targets of the same cause, and their ids for machines; as it is when there are none."""
    if not targets or isinstance(one.body, bytes):
        return one
    return replace(one, body={**one.body, **without_secrets({"text": f"{one.body['text']}\n{line}", "same_cause": [str(target) for target in targets]})})


def stumbled(told: Told, operation: Operation, says: str, at: datetime) -> tuple[Message, ...]:
    """Backout itself cannot go on with an operation: told once for it, however often it stumbles."""
    text = (says, "Backout goes on trying, and starts nothing else on this target." if operation.done_at is None else "Nothing was touched.")
    return message(
        told, key=f"{operation.id}/stumbled", title=f"{operation.target}: Backout cannot go on", text=text, at=at, event="stumbled", operation=operation
    )


def no_way_back(told: Told, standing: Standing, because: Sequence[Finding], *, more: bool = False) -> tuple[Message, ...]:
    """A target that could go back no longer can, and nothing burns: said on the day it happens, while there is time. `more`: it is the last for a while."""
    live = standing.suspect.title if standing.suspect else "what is live"
    goal = standing.goal.title if standing.goal else "an earlier release"
    words = standing.recommended.value.replace("_", " ")
    text = (
        f"Live is {live}; it can no longer go back to {goal}. Nothing burns, and nothing was touched.",
        *(_doubt(one) for one in because[:4]),
        f"If {live} turns out bad: {words}." if standing.recommended is not Way.NONE else "",
        "Should more targets turn within the hour, they are not told one by one: backout check lists them." if more else "",
    )
    extra = {"target": str(standing.target), "rules": [one.rule for one in because]}
    key = f"readiness/{standing.target}/{standing.as_of.isoformat()}"
    return message(told, key=key, title=f"{standing.target} can no longer go back", text=text, at=standing.as_of, event="no_way_back", extra=extra)


def _links(told: Told, operation: Operation) -> Mapping[str, str]:
    links = {}
    if told.trace_link:
        links["trace"] = told.trace_link.replace("{trace_id}", operation.trace_id)
    if told.public_url:
        links["operation"] = f"{told.public_url.rstrip('/')}/v1/operations/{operation.id}"
    return links


def score(verdict: Verdict) -> str:
    """`11 of 13 questions: yes`."""
    good = sum(1 for f in verdict.findings if f.answer is Answer.PASS or f.waived)
    return f"{good} of {len(verdict.findings)} questions: yes"


def worst_lines(verdict: Verdict, limit: int = 4) -> tuple[str, ...]:
    """The findings that are not a pass, worst first, each with what would change it."""
    doubts = sorted((f for f in verdict.findings if f.answer is not Answer.PASS and not f.waived), key=lambda f: -f.answer)
    return tuple(_doubt(one) for one in doubts[:limit])


def _doubt(one: Finding) -> str:
    """The sentence, each line of evidence on a line of its own, and what would change it."""
    lines = "".join(f"\n  {line.source}: {line.says}" for line in one.lines)
    return f"{one.answer.word}: {one.says}{lines}" + ((f"\n  → {one.clears}" if lines else f" → {one.clears}") if one.clears else "")


OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.RECOVERED: "rolled back, recovered",
    Outcome.NOT_RECOVERED: "rolled back, NOT recovered",
    Outcome.INCONCLUSIVE: "rolled back, recovery could not be proven",
    Outcome.REFUSED: "cannot go back",
    Outcome.OBSERVED: "observed",
    Outcome.SUGGESTED: "a way back is ready",
    Outcome.EXPIRED: "nobody decided in time",
    Outcome.CANCELLED: "cancelled",
    Outcome.REJECTED: "rejected",
    Outcome.FAILED: "rollback failed",
}


FORWARD_WORDS: Mapping[Outcome, str] = {
    Outcome.RECOVERED: "went forward, seen to be well",
    Outcome.NOT_RECOVERED: "went forward, NOT well: back again",
    Outcome.INCONCLUSIVE: "went forward, could not be proven well",
    Outcome.REFUSED: "cannot go forward",
    Outcome.OBSERVED: "observed",
    Outcome.SUGGESTED: "a fix is ready",
    Outcome.EXPIRED: "nobody decided in time",
    Outcome.CANCELLED: "cancelled",
    Outcome.REJECTED: "rejected",
    Outcome.FAILED: "going forward failed",
}


def episode_line(episode: Episode) -> str:
    """`HighErrorRate: 31 % of checkout's requests fail`."""
    summary = episode.annotations.get("summary") or episode.annotations.get("description") or ""
    return f"{episode.name}: {summary[:200]}" if summary else episode.name
