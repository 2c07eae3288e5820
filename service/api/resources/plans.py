"""Plans: made on request, kept as they were shown, and shown again as JSON or as a checklist."""

from aiohttp import web
from pydantic import TypeAdapter

from service.api import allowed, views
from service.api.bodies import MakePlan
from service.api.edge import Answer, Call, Route, text
from service.api.problems import ProblemError
from service.domain.planning.checklist import to_markdown
from service.domain.planning.plan import Plan

MARKDOWN = "text/markdown"

_PLAN = TypeAdapter(Plan)


async def make_plan(call: Call, asked: MakePlan) -> Answer:
    """Examine the target and keep the plan."""
    target = call.seen(asked.target_id)
    found = await call.parts.desk.check(target, call.caller.actor)
    plan = found.plan
    if plan is None:
        raise ProblemError("no_way_back", f"there is no way back to plan for {target}: {found.says or found.verdict.because}")
    await call.parts.plans.keep(plan.id, target=str(target), digest=plan.digest, made_at=plan.made_at, body=_PLAN.dump_python(plan, mode="json"))
    body = _view(call, plan)
    return Answer(body=body, status=201, headers={"Location": body["links"]["self"], "ETag": body["etag"]})


async def get_plan(call: Call) -> Answer | web.Response:
    """A kept plan."""
    kept = await call.parts.plans.load(call.id)
    plan = None if kept is None else _PLAN.validate_python(kept)
    if plan is None or not call.caller.sees(plan.target):
        raise ProblemError("not_found", f"there is no plan {call.id} that this token may see")
    if call.prefers(MARKDOWN):
        return text(to_markdown(plan), MARKDOWN)
    return Answer(body=_view(call, plan))


def _view(call: Call, plan: Plan) -> views.View:
    return views.plan(plan, allowed=allowed.on_plan(call.caller, plan, now=call.parts.clock.now()), addresses=call.addresses)


ROUTES = (
    Route(method="POST", path="/v1/plans", handler=make_plan, scope="plans:write", body=MakePlan, once=True),
    Route(method="GET", path="/v1/plans/{id}", handler=get_plan, scope="targets:read"),
)
