"""Finding an application for a call: the 403/404 rules of contract 1.3, and the validation of a spec.

Shared by the calls that read, write and operate.
"""

from fnmatch import fnmatchcase

from integrations.sandbox.argocd.access import Access, Caller
from integrations.sandbox.argocd.cluster import SERVER
from integrations.sandbox.argocd.objects import CONTROL_PLANE, sources
from integrations.sandbox.argocd.operations import Machinery
from integrations.sandbox.argocd.repositories import RenderError
from integrations.sandbox.argocd.status import INVALID, Json, RefusedError, app_not_found, denied


class Lookup:
    """Applications as a caller may see them."""

    def __init__(self, tools: Machinery, access: Access) -> None:
        self._tools = tools
        self._access = access

    def find(self, caller: Caller, action: str, name: str, *, project: str = "", namespace: str = "", cached: bool = False) -> Json:
        """The application, if `action` is allowed on it. `cached`: the call reads the informer, so it works while Kubernetes is away."""
        if project and not self._access.allows(caller, "applications", action, f"{project}/{name}"):
            raise denied()
        if (namespace and namespace != CONTROL_PLANE) or (self._tools.faults.kube_down and not cached):
            raise denied()
        app = self._tools.applications.get(name)
        if app is None:
            raise app_not_found(name) if project else denied()
        real = app["spec"]["project"]
        if not self._access.allows(caller, "applications", action, f"{real}/{name}"):
            raise app_not_found(name) if project else denied()
        if project and project != real:
            raise app_not_found(name)
        self.project(real)
        return app

    def project(self, name: str) -> Json:
        """An application's project. RefusedError 400/3 when it is gone."""
        project = self._tools.projects.get(name)
        if project is None:
            raise RefusedError(INVALID, f'app is not allowed in project "{name}", or the project does not exist')
        return project

    def validate(self, name: str, spec: Json, *, render: bool) -> None:
        """RefusedError 400/3 unless project and destination allow the spec, and (with `render`) the target renders."""
        project = self.project(spec.get("project") or "default")
        destination = spec.get("destination", {})
        server = destination.get("server") or (SERVER if destination.get("name") == "in-cluster" else "")
        if server != SERVER:
            wanted = destination.get("server") or destination.get("name") or ""
            raise RefusedError(
                INVALID, f'application destination spec for {name} is invalid: error getting cluster by server "{wanted}": cluster "{wanted}" not found'
            )
        parts = sources(spec)
        if not parts:
            raise _invalid(name, "spec.source.repoURL and either spec.source.path or spec.source.chart are required")
        for source in parts:
            if not any(fnmatchcase(source["repoURL"], pattern) for pattern in project["spec"].get("sourceRepos") or []):
                raise _invalid(name, f"application repo {source['repoURL']} is not permitted in project '{project['metadata']['name']}'")
        namespace = destination.get("namespace", "")
        allowed = project["spec"].get("destinations") or []
        if not any(fnmatchcase(server, entry.get("server", "*")) and fnmatchcase(namespace, entry.get("namespace", "*")) for entry in allowed):
            what = f"application destination server '{server}' and namespace '{namespace}' do not match any of the allowed destinations in project"
            raise _invalid(name, f"{what} '{project['metadata']['name']}'")
        if render:
            self._render(name, parts, namespace)

    def _render(self, name: str, parts: list[Json], namespace: str) -> None:
        repositories = self._tools.repositories
        for source in parts:
            try:
                repositories.check_access(source)
            except RenderError as error:
                about = f'&Repository{{Repo: "{source["repoURL"]}", Type: "", Name: "", Project: ""}}'
                why = "" if error.code != 2 else "error testing repository connectivity: unable to ls-remote HEAD on repository: "
                words = f"repo client error while testing repository: {error.rpc.replace('desc = ', f'desc = {why}', 1)}"
                raise _invalid(name, f"repository not accessible: repositories not accessible: {about}: {words}") from error
        at = 0
        try:
            shas = [repositories.resolve(source) for source in parts]
            for at, rendered in enumerate(repositories.render_all(parts, shas, name, namespace)):  # noqa: B007  which one failed is told
                rendered()
        except RenderError as error:
            raise _invalid(name, f"Unable to generate manifests in {parts[at].get('path', '')}: {error.rpc}") from error


def _invalid(name: str, words: str) -> RefusedError:
    return RefusedError(INVALID, f"application spec for {name} is invalid: InvalidSpecError: {words}")
