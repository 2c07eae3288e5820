"""What a rollback without pruning leaves running, as steps for a person: each object that only the bad release has, with the exact command. Pure.

Backout never deletes these by itself, and nothing that may hold data is proposed for deletion: a command for it only looks.
"""

import json
import shlex
from collections.abc import Mapping, Sequence

from service.domain.left_behind import Nature, nature
from service.domain.model import ObjectRef, Release
from service.domain.planning.plan import Step

NAME = "left_behind"
PERSON = "person"
SUSPENDED: Mapping[tuple[str, str], Mapping[str, object]] = {
    ("batch", "CronJob"): {"spec": {"suspend": True}},
    ("batch", "Job"): {"spec": {"suspend": True}},
    ("argoproj.io", "Rollout"): {"spec": {"replicas": 0}},
}
"""How a kind is told to rest, where `scale` does not know it."""
SCALED = frozenset({("apps", "Deployment"), ("apps", "StatefulSet"), ("apps", "ReplicaSet")})


def plan(objects: Sequence[ObjectRef], suspect: Release) -> tuple[Step, ...]:
    """One step an object; those that go on working come first."""
    ordered = sorted(objects, key=lambda one: (list(Nature).index(nature(one)), str(one)))
    return tuple(_step(one, suspect) for one in ordered)


def _step(one: ObjectRef, suspect: Release) -> Step:
    says, command, done = _advice(one, suspect)
    rest = f"only release {suspect.title} has it, and going back does not delete it"
    parameters = {"object": str(one)}
    return Step(name=NAME, says=f"{says}: {rest}", effect=False, optional=True, owner=PERSON, parameters=parameters, done_when=done, command=command)


def _advice(one: ObjectRef, suspect: Release) -> tuple[str, str, str]:
    """What to do about it, the command, and how to see that it is done."""
    look = kubectl(one, "get", "--output", "yaml")
    match nature(one):
        case Nature.WORKS:
            return f"Suspend {one}, or decide that it may go on working", _rest(one), "it does no more work, or somebody decided that it may"
        case Nature.DATA:
            says = f"Keep {one}, for it may hold data that release {suspect.title} wrote; warning: deleting it may lose that data for ever"
            return says, look, "somebody who knows the data has decided"
        case Nature.STRANGE:
            return f"Look whether {one} goes on working or holds data", look, "somebody who knows this kind has decided"
        case Nature.IDLE:
            return f"Delete {one} if nothing uses it", kubectl(one, "delete"), "it is gone, or somebody needs it"


def _rest(one: ObjectRef) -> str:
    kind = (one.group, one.kind)
    if kind in SCALED:
        return kubectl(one, "scale", "--replicas=0")
    if kind in SUSPENDED:
        return kubectl(one, "patch", "--type", "merge", "--patch", json.dumps(SUSPENDED[kind]))
    return kubectl(one, "delete")


def kubectl(one: ObjectRef, verb: str, *more: str) -> str:
    """`kubectl --namespace NS VERB kind.group/name …`, quoted for a shell."""
    where = ["--namespace", one.namespace] if one.namespace else []
    kind = f"{one.kind}.{one.group}" if one.group else one.kind
    return shlex.join(["kubectl", *where, verb, f"{kind.lower()}/{one.name}", *more])
