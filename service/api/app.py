"""Puts the edge together: every route in one list, two middlewares around them. Listening, signals and the parts themselves are wiring's."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from service.api.edge import Route, serve
from service.api.metrics import ApiMetrics
from service.api.parts import Drain, Parts
from service.api.problems import as_problems
from service.api.resources import alerts, captures, events, holds, incidents, operations, plans, service, stop, targets
from service.api.streams import MEDIA_TYPE

__all__ = ["Drain", "Parts", "make_app", "routes"]


def routes(parts: Parts) -> tuple[Route, ...]:
    """Everything there is, as openapi.yaml describes it."""
    return (
        *alerts.routes(parts),
        *targets.ROUTES,
        *plans.ROUTES,
        *operations.ROUTES,
        *captures.ROUTES,
        *events.routes(parts),
        *incidents.ROUTES,
        *holds.ROUTES,
        *stop.ROUTES,
        *service.routes(parts),
    )


def make_app(parts: Parts) -> web.Application:
    """The application. To shut down: `parts.drain.begin()`, wait until nobody sends any more, then clean the runner up."""
    parts.drain.tell(parts.live.wake)
    app = web.Application(middlewares=[_measured(parts.metrics), as_problems], client_max_size=alerts.LIMIT)
    for route in routes(parts):
        app.router.add_route(route.method, route.path, serve(route, parts))
    return app


def _measured(metrics: ApiMetrics) -> Middleware:
    """Times every request by the template of its route, and takes the server's make and version out of the answer."""

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status, streamed = 499, False  # the caller went away
        try:
            response = await handler(request)
            status, streamed = response.status, response.content_type == MEDIA_TYPE
            response.headers["Server"] = "backout"
            return response
        finally:
            resource = request.match_info.route.resource
            template = resource.canonical if resource is not None else "unmatched"
            if not streamed:  # a stream lasts as long as somebody watches, which is no time that we took
                metrics.request_seconds.labels(request.method if resource is not None else "any", template, str(status)).observe(time.perf_counter() - began)

    return measure
