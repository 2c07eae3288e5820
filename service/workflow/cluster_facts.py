"""What runs, read from the cluster itself: a target's workloads, and its pods where the delivery system cannot tell them (its server is away, Redis is dead).

The store knows which objects a target has and on which cluster; the source of evidence knows how to read them there.
"""

from typing import Any

from service.domain import keys
from service.domain.errors import UnavailableError
from service.domain.facts import Absent, Fact, Key, Known
from service.domain.model import TargetId
from service.domain.ports import FactSource, ListedTarget, Targets

OTHERS_THAT_RUN_PODS = frozenset({("", "Pod"), ("", "ReplicationController"), ("apps", "ReplicaSet"), ("batch", "Job"), ("batch", "CronJob")})
"""Objects whose pods are not read with the workloads: a target that has one of them is not known in full this way."""


class ClusterFacts:
    """A `FactSource` over the store and a source that answers `keys.workloads_in`."""

    kinds = frozenset({"workloads", "pods"})

    def __init__(self, *, targets: Targets, source: FactSource) -> None:
        self._targets = targets
        self._source = source

    async def read(self, key: Key[Any]) -> Fact[Any]:
        """The fact, or why nobody could find out."""
        subject: Any = key.subject
        target = TargetId(subject.instance, subject.name)
        try:
            listed = await self._targets.listed(target)
        except UnavailableError as error:
            return Absent(str(error), clears="Bring the store back.")
        if listed is None:
            return Absent("the target is not in the index yet", clears="Wait for the first list of its delivery instance.")
        if not listed.cluster:
            return Absent(f"{target.instance} does not tell to which cluster it deploys")
        found = await self._source.read(keys.workloads_in(target.instance, listed.cluster, listed.objects))
        return found if key.kind == "workloads" or isinstance(found, Absent) else _pods(listed, found)


def _pods(listed: ListedTarget, found: Known[tuple[keys.Workload, ...]]) -> Fact[tuple[keys.Pod, ...]]:
    others = [one for one in listed.objects if (one.group, one.kind) in OTHERS_THAT_RUN_PODS]
    if others:
        return Absent(f"pods of {others[0]} are read by the delivery system alone")
    pods = (pod for workload in found.value for revision in workload.revisions for pod in revision.pods)
    return Known(value=tuple(sorted(pods, key=lambda pod: pod.name)), evidence=found.evidence, good_for=found.good_for)
