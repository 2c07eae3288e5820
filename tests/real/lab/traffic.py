"""The users of the lab's applications: requests at a steady rate, answered as well as the live release can.

Kept as counters that advance with the wall clock, in the form an ingress would export them; `/metrics` is scraped by
Prometheus. Nobody sends a request: the rate and the share of errors are what the pods' image labels say.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

RATE_PER_S = 140.0
METRIC = "http_requests_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPod:
    """A ready pod. `errors`: the share of requests it answers with 500, 0 to 1."""

    namespace: str
    app: str
    version: str
    errors: float


class Traffic:
    """Counters per (namespace, app, version, code). `clock`: seconds that only grow."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._at = clock, clock()
        self._serving: tuple[ServingPod, ...] = ()
        self._requests: dict[tuple[str, str, str, str], float] = {}

    def serve(self, pods: Iterable[ServingPod]) -> None:
        """From now on these pods serve; until now it was the ones named before."""
        self._advance()
        self._serving = tuple(pods)
        for pod in self._serving:
            for code in ("200", "500"):  # from zero on, so that the first second has a rate
                self._requests.setdefault((pod.namespace, pod.app, pod.version, code), 0.0)

    def exposition(self) -> str:
        """The counters in Prometheus' text format."""
        self._advance()
        lines = [f"# HELP {METRIC} Requests by the release that answered.", f"# TYPE {METRIC} counter"]
        for (namespace, app, version, code), count in sorted(self._requests.items()):
            labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in (("namespace", namespace), ("app", app), ("version", version), ("code", code)))
            lines.append(f"{METRIC}{{{labels}}} {int(count)}")
        return "\n".join(lines) + "\n"

    def _advance(self) -> None:
        now = self._clock()
        elapsed, self._at = now - self._at, now
        replicas = Counter((pod.namespace, pod.app) for pod in self._serving)
        for pod in self._serving:
            requests = RATE_PER_S * elapsed / replicas[pod.namespace, pod.app]
            for code, share in (("200", 1 - pod.errors), ("500", pod.errors)):
                self._requests[pod.namespace, pod.app, pod.version, code] += requests * share

    async def start(self, *, host: str, port: int) -> web.AppRunner:
        """Serve `GET /metrics`; the caller cleans the runner up."""

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(text=self.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

        application = web.Application()
        application.router.add_get("/metrics", metrics)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner


def _quoted(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
