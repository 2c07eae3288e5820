"""Sandboxes without one of the traps each: a suite that does not notice would let the sandbox become kinder than a real Gate.

Each replaces something inside the sandbox by what a friendlier server would do, and names the test that must fail then.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from integrations.sandbox.gate import edge, group_stages, manifest_stages
from integrations.sandbox.gate.access import Access
from integrations.sandbox.gate.cloud_calls import CloudCalls
from integrations.sandbox.gate.clouddriver import Clouddriver
from integrations.sandbox.gate.echo import Echo
from integrations.sandbox.gate.edge import Call, Reply
from integrations.sandbox.gate.engine import Engine
from integrations.sandbox.gate.executions import Executions, Run
from integrations.sandbox.gate.group_stages import GROUPS
from integrations.sandbox.gate.kubernetes import Kubernetes, Workload
from integrations.sandbox.gate.orca import Orca
from integrations.sandbox.gate.plain_stages import PLAIN
from integrations.sandbox.gate.queries import Queries
from integrations.sandbox.gate.refusals import BackendError, RefusedError, passed_on
from integrations.sandbox.gate.run_calls import RunCalls
from integrations.sandbox.gate.stage import Definition, Outcome, StageError, Task, Work
from tests.contract.spinnaker import test_runs, test_traps
from tests.contract.spinnaker.driver import Spinnaker

Json = dict[str, Any]
Test = Callable[[Spinnaker], Awaitable[None]]
Patch = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A sandbox without a trap: `trap` is its number in section 2.6 of the contract or what section 12 calls it."""

    trap: str
    says: str
    patches: tuple[Patch, ...]
    caught_by: Any  # a test: with the sandbox, or without an argument where it makes its own

    @contextmanager
    def built(self) -> Iterator[None]:
        """While inside, the sandbox is this one."""
        with ExitStack() as stack:
            for place, name, value in self.patches:
                if isinstance(place, dict):
                    stack.enter_context(mock.patch.dict(place, {name: value}))
                else:
                    stack.enter_context(mock.patch.object(place, name, value))
            yield


def _reads_honestly(self: RunCalls, call: Call) -> Run:
    try:
        return self._read(call)
    except BackendError as error:
        raise passed_on(error, "GET", "pipelines") from error


def _resumes_legally(self: Engine, run: Run, user: str) -> None:
    if run.status != "PAUSED":
        raise RefusedError(400, f"Unable to resume pipeline that is not PAUSED: {run.id} by {user}")
    _RESUME(self, run, user)


def _cancels_unfinished(self: Engine, run: Run, user: str, reason: str | None) -> None:
    if not run.complete:
        _CANCEL(self, run, user, reason)


def _cancels_at_once(self: Engine, run: Run, user: str, reason: str | None) -> None:
    _CANCEL(self, run, user, reason)
    self._cancel_now(run)


def _finds_by_ref(self: Run, stage_id: str) -> Json | None:
    return next((one for one in self.stages if stage_id in {one["id"], one["refId"]}), None)


def _refuses_unknown(self: Echo, application: str, name_or_id: str, trigger: Json, user: str) -> None:
    if self._tools.front50.named(application, name_or_id) is None:
        raise BackendError(404, "Pipeline not found")
    _BY_HAND(self, application, name_or_id, trigger, user)


def _starts_anyway(self: Orca, config: Json, trigger: Json, user: str, *, execution_id: str | None = None, origin: str = "api") -> Run:
    return _START_NOW(self, config, {**trigger, "correlationId": None}, user, execution_id=execution_id, origin=origin)


async def _checks_types(self: Orca, body: Json, user: str, origin: str) -> Json:
    if any(one.get("type") not in {**PLAIN, **GROUPS} for one in body.get("job") or [{}]):
        raise BackendError(400, "unknown type")
    return await _OPS(self, body, user, origin)


def _finds_some(self: Queries, ids: list[str], *, expand: bool) -> list[Json]:
    return [one for single in ids if self._tools.executions.get("PIPELINE", single) for one in _BY_IDS(self, [single], expand=expand)]


async def _lists_failed(_self: RunCalls, _call: Call) -> Reply:
    return Reply(body=[])


async def _always_cached(self: CloudCalls, _call: Call) -> Reply:
    return Reply(body=list(self._tools.front50.applications.values()))


def _goes_on_at_once(self: Engine) -> None:
    self.dead = False
    held, self._held = self._held, []
    for act in held:
        act()


def _rolls_in_place(self: Kubernetes, workload: Workload, template: Json) -> None:
    same = next((one for one in workload.revisions if one.template == template), None)
    if same is None:
        _ROLL(self, workload, template)
        return
    number = same.number
    _ROLL(self, workload, template)
    same.number, workload.generation = number, workload.generation + 1


def _explains(self: Work) -> Outcome:
    outcome = manifest_stages.monitor()(self)
    return Outcome(status=outcome.status, context={**outcome.context, **({"exception": {"details": {"errors": []}}} if outcome.status == "TERMINAL" else {})})


def _monitors(work: Work, name: str, *, results: bool = False, cls: str = manifest_stages.MONITOR) -> Task:
    del results
    return Task(name=name, cls=cls, work=_explains, poll=work.tools.timings.monitor)


def _only_back(work: Work) -> Outcome:
    outcome = _CANDIDATES(work)
    for context in outcome.outputs["rollbackContexts"].values():
        if context["restoreServerGroupName"] > context["rollbackServerGroupName"]:
            raise StageError("IllegalStateException", "would go forward")
    return outcome


def _names_every_region(work: Work) -> Outcome:
    outcome = _CANDIDATES(work)
    if set(work.context["regions"]) - outcome.outputs["rollbackTypes"].keys():
        raise StageError("IllegalStateException", "nothing to go back to")
    return outcome


def _candidates(ask: Callable[[Work], Outcome]) -> Definition:
    return Definition(tasks=lambda _work: [Task(name="determineRollbackCandidates", cls="x", work=ask)], after=GROUPS["rollbackCluster"].after)


def _anybody_judges(work: Work) -> Outcome:
    status = str(work.context.get("judgmentStatus") or "").lower()
    return Outcome(status={"continue": "SUCCEEDED", "stop": "TERMINAL"}.get(status, "RUNNING"))


def _always_dry(_self: Engine, run: Run) -> bool:
    return run.execution["trigger"].get("dryRun") is True


async def _single_flight(self: Orca, body: Json, user: str, origin: str) -> Json:
    with mock.patch.object(type(self._tools.timeline), "wait", _no_wait):
        return await _OPS(self, body, user, origin)


async def _no_wait(_self: object, _seconds: float) -> None:
    return


def _searches_exactly(self: Queries, application: str, query: Any) -> Any:
    profile = self._tools.profile
    with mock.patch.object(self._tools, "profile", type(profile)(sql=True)):
        return _SEARCH(self, application, query)


def _takes_nothing(_self: Access, _name: str, _right: str, _application: str = "*") -> None:
    return


def _correlated_for_ever(self: Executions, kind: str, key: Any) -> Run | None:
    return next((one for one in self if key and one.kind == kind and one.execution["trigger"].get("correlationId") == key), None)


def _nothing(*_args: object, **_more: object) -> None:
    return


def _never(*_args: object) -> None:
    return None


_RESUME, _CANCEL, _BY_HAND, _START_NOW, _OPS = Engine.resume, Engine.cancel, Echo.by_hand, Orca.start_now, Orca.ops
_BY_IDS, _SEARCH, _ROLL, _CANDIDATES = Queries.by_ids, Queries.search, Kubernetes._roll, group_stages._candidates

MUTANTS: Final = (
    Mutant(trap="1", says="passes on what Orca refuses", patches=((RunCalls, "_swallowing", _reads_honestly),), caught_by=test_traps.test_what_orca_refuses_is_200_with_nothing_for_a_pipeline_and_an_error_for_a_task),
    Mutant(trap="2", says="refuses an illegal resume", patches=((Engine, "resume", _resumes_legally),), caught_by=test_runs.test_pausing_and_resuming_answer_200_whether_or_not_anything_happened),
    Mutant(trap="3", says="cancels by force", patches=((Engine, "cancel", _cancels_at_once),), caught_by=test_runs.test_a_cancelled_run_is_running_for_a_moment_and_force_makes_no_difference),
    Mutant(trap="4", says="leaves alone what is over", patches=((Engine, "cancel", _cancels_unfinished),), caught_by=test_runs.test_cancelling_what_is_over_rewrites_it_and_the_status_alone_says_the_truth),
    Mutant(trap="5", says="finds a stage by its refId", patches=((Run, "stage", _finds_by_ref),), caught_by=test_runs.test_a_judgment_is_any_word_and_only_two_of_them_end_the_stage),
    Mutant(trap="6", says="refuses a start of nothing through Echo", patches=((Echo, "by_hand", _refuses_unknown),), caught_by=test_runs.test_a_start_through_echo_of_what_it_has_not_seen_is_lost_for_good),
    Mutant(trap="6", says="lets Echo know of a pipeline at once", patches=((Echo, "configs_change", _nothing),), caught_by=test_runs.test_a_start_through_echo_of_what_it_has_not_seen_is_lost_for_good),
    Mutant(trap="6", says="starts an id in use through Echo again", patches=((Orca, "start_now", _starts_anyway),), caught_by=test_traps.test_a_start_through_echo_with_an_id_that_is_in_use_answers_a_ref_that_never_exists),
    Mutant(trap="7", says="refuses a job of an unknown type", patches=((Orca, "ops", _checks_types),), caught_by=test_runs.test_a_task_with_a_bad_job_is_accepted_and_fails_in_the_open_or_in_silence),
    Mutant(trap="8", says="honours every dry run", patches=((Engine, "_is_dry", _always_dry),), caught_by=test_traps.test_a_dry_run_is_real_unless_orca_was_set_up_for_it),
    Mutant(trap="9", says="answers for the ids that it knows", patches=((Queries, "by_ids", _finds_some),), caught_by=test_runs.test_one_unknown_id_spoils_a_question_for_several),
    Mutant(trap="10", says="can list failed stages", patches=((RunCalls, "_failed_stages", _lists_failed),), caught_by=test_runs.test_the_list_of_failed_stages_is_broken_as_shipped),
    Mutant(trap="11", says="lists applications without its jobs", patches=((CloudCalls, "_applications", _always_cached),), caught_by=test_traps.test_without_gates_own_jobs_nobody_sees_an_application_or_account),
    Mutant(trap="global correlation", says="asks nobody for a correlation id", patches=((Executions, "correlated", _never),), caught_by=test_runs.test_a_correlation_id_belongs_to_every_pipeline_until_its_run_is_over_and_then_to_nobody),
    Mutant(trap="re-start after completion", says="frees no correlation id", patches=((Executions, "uncorrelate", _nothing), (Executions, "correlated", _correlated_for_ever)), caught_by=test_runs.test_a_correlation_id_belongs_to_every_pipeline_until_its_run_is_over_and_then_to_nobody),
    Mutant(trap="check-then-insert", says="stores a correlation id at once", patches=((Orca, "ops", _single_flight),), caught_by=test_traps.test_parallel_starts_with_one_correlation_id_run_more_than_once),
    Mutant(trap="re-posted running id", says="does not wreck a run", patches=((Engine, "wreck", Engine.start),), caught_by=test_runs.test_an_id_that_is_posted_again_while_its_run_goes_on_wrecks_it),
    Mutant(trap="restart", says="restarts nothing", patches=((Engine, "restart", _nothing),), caught_by=test_runs.test_a_restart_makes_a_finished_run_go_on_with_the_end_it_had),
    Mutant(trap="orca crash", says="goes on at once", patches=((Engine, "live_again", _goes_on_at_once),), caught_by=test_traps.test_a_killed_orca_leaves_a_run_standing_for_ten_minutes),
    Mutant(trap="revision renumbering", says="keeps the number of a revision", patches=((Kubernetes, "_roll", _rolls_in_place),), caught_by=test_traps.test_an_undo_gives_the_revision_a_new_number_so_that_a_repeat_fails),
    Mutant(trap="failed undo", says="puts the reason into the exception", patches=((manifest_stages, "_monitored", _monitors),), caught_by=test_traps.test_a_refused_undo_says_why_only_in_the_cloud_operation),
    Mutant(trap="stale cache", says="reads everything live", patches=((Clouddriver, "cached", lambda self, what, application: self._look()[what].get(application, [])),), caught_by=test_traps.test_caches_tell_of_the_past_while_a_manifest_is_live),
    Mutant(trap="flip-flop", says="never goes forward", patches=((GROUPS, "rollbackCluster", _candidates(_only_back)),), caught_by=test_traps.test_a_rolled_back_cluster_is_rolled_forward_by_the_same_job),
    Mutant(trap="skipped region", says="fails where there is nothing to go back to", patches=((GROUPS, "rollbackCluster", _candidates(_names_every_region)),), caught_by=test_traps.test_a_region_with_nothing_to_go_back_to_is_skipped_in_silence),
    Mutant(trap="judgment roles", says="lets anybody judge", patches=((PLAIN, "manualJudgment", Definition(tasks=lambda _work: [Task(name="waitForJudgment", cls="x", work=_anybody_judges, poll=15.0)])),), caught_by=test_traps.test_a_judgment_of_somebody_without_the_role_is_forgotten),
    Mutant(trap="redis search", says="searches Redis exactly", patches=((Queries, "search", _searches_exactly),), caught_by=test_traps.test_on_redis_a_small_page_repeats_a_lonely_match_and_never_answers_without_one),
    Mutant(trap="rate limit", says="names the true reset", patches=((edge, "_EPOCH", "Mon, 04 May 2026 14:03:10 GMT"),), caught_by=test_traps.test_a_backends_limit_comes_with_a_reset_in_1970),
    Mutant(trap="lost right", says="takes no right away", patches=((Access, "takes_away", _takes_nothing),), caught_by=test_traps.test_a_right_that_is_lost_makes_runs_vanish_instead_of_saying_so),
)  # fmt: skip
