"""The repo-server: resolves revisions in local Git repositories and renders plain directories of manifests and Helm charts at a revision.

Reads with dulwich, on the event loop: repositories here are small. Keeps the two caches whose state decides what works while Git is
away (contract 4.4): rendered manifests (Redis) and the local clone. Comparing and applying is the controller's work. Charts of a Helm repository
are fetched by `chart_repository.py`, and filled in by `charts.py`.
"""

import copy
import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from dulwich.errors import NotGitRepository
from dulwich.objects import Blob, Commit, Tag, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

from integrations.sandbox.argocd import charts
from integrations.sandbox.argocd.chart_repository import ChartsError, download, newest
from integrations.sandbox.argocd.messages import go_json_error
from integrations.sandbox.argocd.objects import TRACKING, Key
from integrations.sandbox.argocd.settings import Faults
from integrations.sandbox.argocd.status import PRECONDITION, UNAVAILABLE, UNKNOWN, Json, RefusedError

_SHA: Final = re.compile(r"[0-9a-f]{40}")
_DIAL: Final = 'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:8081: connect: connection refused"'
_NO_CLONE: Final = "failed to initialize repository resources: rpc error: code = Internal desc = "
_CODE_NAMES: Final = {UNKNOWN: "Unknown", PRECONDITION: "FailedPrecondition", UNAVAILABLE: "Unavailable"}


class RenderError(Exception):
    """The repo-server's gRPC error: `code` and words without the `rpc error` prefix."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def rpc(self) -> str:
        """As it reads inside a condition or an error of the API server."""
        return f"rpc error: code = {_CODE_NAMES[self.code]} desc = {self.message}"

    def refusal(self) -> RefusedError:
        """As a direct answer: only the inner message survives; everything but "unavailable" is unknown (recordings 23, 39)."""
        return RefusedError(UNAVAILABLE if self.code == UNAVAILABLE else UNKNOWN, self.message)


class Repositories:
    """Git as the repo-server sees it. `flush_manifests` and `drop_clones` empty its two caches."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._manifests: dict[tuple[str, str, str], list[Json]] = {}
        self._charts: dict[tuple[str, str, str], dict[str, bytes]] = {}
        self._refs: dict[tuple[str, str], str] = {}
        self._clones: dict[str, dict[str, dict[str, bytes]]] = {}
        self._commits: dict[str, dict[str, Json]] = {}

    def flush_manifests(self) -> None:
        """What flushing Redis does: rendered manifests and remembered refs are gone."""
        self._manifests.clear()
        self._refs.clear()

    def forget(self, parts: Sequence[Json]) -> None:
        """What a hard refresh does: of these sources nothing is remembered, neither what they rendered to nor which chart was fetched."""
        mine = [json.dumps(part, sort_keys=True) for part in parts]
        urls = {part["repoURL"] for part in parts}
        self._manifests = {place: found for place, found in self._manifests.items() if not any(place[2].startswith(f"[{one}") for one in mine)}
        self._refs = {place: sha for place, sha in self._refs.items() if place[0] not in urls}
        self._charts = {place: files for place, files in self._charts.items() if place[0] not in urls}

    def drop_clones(self) -> None:
        """What losing the repo-server's disk does."""
        self._charts.clear()
        self._clones.clear()
        self._commits.clear()

    def check_access(self, source: Json) -> None:
        """RenderError unless the repository of the source answers now."""
        self._server()
        if source.get("chart"):
            self.resolve(source)
        else:
            self._open(source["repoURL"]).close()

    def resolve(self, source: Json, revision: str | None = None, *, remembered: bool = False) -> str:
        """Commit SHA of a branch, tag, `HEAD` or SHA (default: the source's target), or a chart's version. `remembered`: an earlier answer will do."""
        self._server()
        url, wanted = source["repoURL"], revision or source.get("targetRevision") or "HEAD"
        if _SHA.fullmatch(wanted):
            return wanted
        if remembered and (url, wanted) in self._refs:
            return self._refs[url, wanted]
        if source.get("chart"):
            try:
                return newest(url, source["chart"], wanted)
            except ChartsError as error:
                raise RenderError(UNKNOWN, str(error)) from error
        with self._open(url) as repository:
            sha = _find(repository, wanted)
            if sha is None:
                raise RenderError(UNKNOWN, f"unable to resolve '{wanted}' to a commit SHA")
            self._keep(url, repository, sha)
        self._refs[url, wanted] = sha
        return sha

    def render_all(self, parts: Sequence[Json], shas: Sequence[str], app: str, namespace: str, *, anew: bool = False) -> Iterator[Callable[[], list[Json]]]:
        """For each source, in order, what renders it; a source may name values files of its neighbours (`$ref/path`)."""
        beside = {part["ref"]: (part["repoURL"], sha) for part, sha in zip(parts, shas, strict=True) if part.get("ref")}
        for part, sha in zip(parts, shas, strict=True):
            yield functools.partial(self.render, part, sha, app, namespace, beside=beside, anew=anew)

    def render(
        self, source: Json, sha: str, app: str, namespace: str, *, beside: Mapping[str, tuple[str, str]] = MappingProxyType({}), anew: bool = False
    ) -> list[Json]:
        """Manifests of the source at a commit, with Argo CD's tracking annotation. RenderError when they cannot be had.

        `beside`: repository and commit of each source that has a name of its own. `anew` neither reads nor changes what is kept.
        """
        self._server()
        if source.get("ref") and not source.get("path") and not source.get("chart"):
            return []
        place = (source["repoURL"], sha, json.dumps([source, app, namespace, dict(beside)], sort_keys=True))
        found = None if anew else self._manifests.get(place)
        if found is None:
            found = list(self._rendered(source, sha, app, namespace, beside, anew=anew))
            if not anew:
                self._manifests[place] = found
        return [_tracked(manifest, app, namespace) for manifest in copy.deepcopy(found)]

    def kind_of(self, source: Json, sha: str) -> str:
        """`sourceType` of a source that was rendered."""
        return "Helm" if charts.is_chart(self._own_files(source, sha)) else "Directory"

    def _rendered(self, source: Json, sha: str, app: str, namespace: str, beside: Mapping[str, tuple[str, str]], *, anew: bool) -> Iterator[Json]:
        inside = self._own_files(source, sha, anew=anew)
        if not charts.is_chart(inside):
            yield from _parse(inside, source)
            return

        def values_file(name: str) -> str:
            named, _, path = name.removeprefix("$").partition("/")
            if not name.startswith("$"):
                return charts.inside(inside, "", name) if source.get("chart") else charts.inside(self._files(source["repoURL"], sha), source["path"], name)
            if named not in beside:
                raise charts.ChartError(f"source referenced {name!r}, but no source has a 'ref' field defined with the name {named!r}")
            return charts.inside(self._files(*beside[named]), "", path)

        try:
            for name, text in charts.render(inside, source.get("helm") or {}, release=app, namespace=namespace, read=values_file):
                yield from _documents(name, text)
        except charts.ChartError as error:
            raise RenderError(UNKNOWN, f"failed to execute helm template command: {error}") from error

    def _own_files(self, source: Json, sha: str, *, anew: bool = False) -> dict[str, bytes]:
        """The files below the source's path, by their path in it; of a chart from a Helm repository all."""
        if source.get("chart"):
            place = (source["repoURL"], source["chart"], sha)
            if place in self._charts and not anew:
                return self._charts[place]
            try:
                self._charts[place] = download(*place)
            except ChartsError as error:
                raise RenderError(UNKNOWN, str(error)) from error
            return self._charts[place]
        path = source.get("path", "").strip("/")
        files, top = self._files(source["repoURL"], sha), "" if path in {"", "."} else f"{path}/"
        found = {name.removeprefix(top): data for name, data in files.items() if name.startswith(top)}
        if not found:
            raise RenderError(UNKNOWN, f"{path}: app path does not exist")
        return found

    def metadata(self, url: str, sha: str) -> Json:
        """Author, date, message and tags of a commit."""
        self._server()
        if not _SHA.fullmatch(sha):
            raise RefusedError(UNKNOWN, f"revision {sha} must be resolved")
        try:
            self._files(url, sha)
        except RenderError as error:
            raise RefusedError(UNKNOWN, f"error acquiring repo lock: {error.message}") from error
        return self._commits[url][sha]

    def _server(self) -> None:
        if self._faults.repo_server_down:
            raise RenderError(UNAVAILABLE, _DIAL)

    def _open(self, url: str) -> Repo:
        path = Path(url.removeprefix("file://"))
        if self._faults.git_down or not url.startswith("file:///"):
            raise RenderError(UNKNOWN, "failed to list refs: repository not found")
        try:
            return Repo(str(path))
        except NotGitRepository as error:
            raise RenderError(UNKNOWN, "failed to list refs: repository not found") from error

    def _files(self, url: str, sha: str) -> dict[str, bytes]:
        kept = self._clones.get(url, {}).get(sha)
        if kept is not None:
            return kept
        fetch = "`git fetch origin --tags --force --prune` failed exit status 128"
        try:
            repository = self._open(url)
        except RenderError as error:
            why = f"Failed to fetch default: {fetch}: fatal: '{url.removeprefix('file://')}' does not appear to be a git repository"
            raise RenderError(UNKNOWN, f"{_NO_CLONE}{why}") from error
        with repository:
            if _find(repository, sha) is None:
                fetch = f"`git fetch origin {sha} --tags --force --prune` failed exit status 128"
                raise RenderError(UNKNOWN, f"{_NO_CLONE}Failed to checkout revision {sha}: {fetch}: fatal: git upload-pack: not our ref {sha}")
            self._keep(url, repository, sha)
        return self._clones[url][sha]

    def _keep(self, url: str, repository: Repo, sha: str) -> None:
        if sha in self._clones.setdefault(url, {}):
            return
        commit = repository[sha.encode()]
        if not isinstance(commit, Commit):
            raise RenderError(UNKNOWN, f"unable to resolve '{sha}' to a commit SHA")
        self._clones[url][sha] = dict(_walk(repository, commit.tree, ""))
        told: Json = {"author": commit.author.decode(), "date": datetime.fromtimestamp(commit.author_time, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        tags = [name.decode() for name, target in repository.refs.as_dict(Ref(b"refs/tags")).items() if _peeled(repository, target) == sha]
        told |= {"tags": sorted(tags)} if tags else {}
        self._commits.setdefault(url, {})[sha] = told | {"message": commit.message.decode().strip()}


def _find(repository: Repo, wanted: str) -> str | None:
    if re.fullmatch(r"[0-9a-f]{7,40}", wanted):
        known = [sha for sha in repository.object_store if sha.startswith(wanted.encode()) and isinstance(repository[sha], Commit)]
        return known[0].decode() if len(known) == 1 else None
    for name in (f"refs/heads/{wanted}", f"refs/tags/{wanted}", wanted):
        if (name == "HEAD" or name.startswith("refs/")) and (ref := Ref(name.encode())) in repository.refs:
            return _peeled(repository, repository.refs[ref])
    return None


def _peeled(repository: Repo, sha: bytes) -> str:
    found = repository[sha]
    while isinstance(found, Tag):
        found = repository[found.object[1]]
    return str(found.id.decode())


def _walk(repository: Repo, tree: bytes, prefix: str) -> Iterator[tuple[str, bytes]]:
    top = repository[tree]
    for entry in top.items() if isinstance(top, Tree) else []:
        below = repository[entry.sha] if entry.mode != 0o160000 else None
        name = f"{prefix}{entry.path.decode()}"
        if isinstance(below, Tree):
            yield from _walk(repository, entry.sha, f"{name}/")
        elif isinstance(below, Blob):
            yield name, below.data


def _parse(inside: dict[str, bytes], source: Json) -> Iterator[Json]:
    if {"kustomization.yaml", "kustomization.yml"} & inside.keys():
        raise RenderError(UNKNOWN, f"{source.get('path', '')}: the sandbox renders plain directories and simple charts, not Kustomize")
    directory = source.get("directory") or {}
    for name in sorted(inside):
        if not re.search(r"\.(ya?ml|json)$", name) or ("/" in name and not directory.get("recurse")):
            continue
        left_out = directory.get("exclude") and fnmatch.fnmatchcase(name, directory["exclude"])
        if left_out or (directory.get("include") and not fnmatch.fnmatchcase(name, directory["include"])):
            continue
        for document in _documents(name, inside[name].decode()):
            listed = document.get("items") if str(document.get("kind", "")).endswith("List") else None
            yield from listed if isinstance(listed, list) else [document]


def _documents(name: str, text: str) -> Iterator[Json]:
    try:
        found: list[Any] = [json.loads(text)] if name.endswith(".json") else list(yaml.safe_load_all(text))
    except json.JSONDecodeError as error:
        raise RenderError(PRECONDITION, f'Failed to unmarshal "{name}": {go_json_error(text, error)}') from error
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise RenderError(PRECONDITION, f'Failed to unmarshal "{name}": failed to unmarshal manifest: error converting YAML to JSON: yaml: {first}') from error
    for document in found:
        if document is None:
            continue
        listed = isinstance(document, dict) and str(document.get("kind", "")).endswith("List")
        if not isinstance(document, dict) or not document.get("kind") or not (listed or document.get("metadata", {}).get("name")):
            raise RenderError(PRECONDITION, f"Failed to unmarshal \"{name}\": Object 'Kind' is missing in manifest")
        yield document


def _tracked(manifest: Json, app: str, namespace: str) -> Json:
    key = Key.of(manifest, namespace)
    manifest["metadata"].setdefault("annotations", {})[TRACKING] = (
        f"{app}:{key.group}/{key.kind}:{manifest['metadata'].get('namespace') or namespace}/{key.name}"
    )
    return manifest
