"""Reads the Kubernetes manifests of a folder at two commits: plain YAML and JSON, as text. No tool that renders is run.

A folder that kustomize or Helm would render is told as not read where it changed, or where what it renders may change without it (a remote base). So is
what is not understood; a file without `apiVersion` and `kind` is no manifest and is passed over.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from integrations.evidence.trees import KIND_OF_MODE, SUBMODULE, SYMLINK, Trees
from integrations.json_shapes import entries, text
from integrations.rendering import rendered_of
from service.domain.documents import DocumentError, read_json, read_yaml_with_lines
from service.domain.manifest_change import Manifests, Placed, Unread

PLAIN = frozenset({".yaml", ".yml", ".json"})
TEMPLATES = frozenset({".cue", ".gotmpl", ".j2", ".jsonnet", ".k", ".libsonnet", ".tpl", ".tmpl"})
"""Files that become manifests when a tool has run."""
TOOLS = {
    "Chart.yaml": "Helm",
    "helmfile.yaml": "Helmfile",
    "kustomization.yaml": "kustomize",
    "kustomization.yml": "kustomize",
    "Kustomization": "kustomize",
}
_REMOTE = re.compile(r"://|git@|github\.com|\?ref=")
_UPWARD = re.compile(r"(?:\.\./)+[\w./-]*|(?<![\w./])\.\.(?![\w./])")
RENDER = "Render it in the pipeline into a folder of plain manifests that is committed, and name that folder; or compare what `{tool}` renders yourself."


def read_manifests(trees: Trees, folder: str) -> Manifests:
    """The manifests below the folder ("" or "." is all of the repository) at both commits of the trees."""
    folder = posixpath.normpath(folder).strip("/") if folder.strip("./") else ""
    sides = [dict(_entries(trees, folder, old=old)) for old in (True, False)]
    rendered = {PurePosixPath(path).parent.as_posix(): PurePosixPath(path).name for side in sides for path in side if PurePosixPath(path).name in TOOLS}
    unread = list(_not_rendered(trees, folder, sides, rendered))
    found: list[tuple[Placed, ...]] = []
    seen: dict[tuple[str, bytes], tuple[Placed, ...]] = {}
    for side, old in zip(sides, (True, False), strict=True):
        other = sides[0] if not old else sides[1]
        objects: list[Placed] = []
        for path, (mode, sha) in side.items():
            if _inside(path, rendered):
                continue
            suffix = PurePosixPath(path).suffix.lower()
            changed = other.get(path) != (mode, sha)
            if is_link(mode) and changed:
                unread.append(Unread(path, "it is a symbolic link or a submodule", "Put the manifests themselves there, or check where they stand."))
            elif suffix in TEMPLATES and changed:
                unread.append(Unread(path, f"{suffix} is a template", RENDER.format(tool="its tool")))
            elif suffix in PLAIN and not is_link(mode):
                try:
                    if (path, sha) not in seen:
                        seen[path, sha] = tuple(_placed(trees, path, suffix, old=old))
                    objects += seen[path, sha]
                except DocumentError as error:
                    if changed:  # what is the same on both sides is no difference, read or not
                        unread.append(Unread(path, f"it {error}", "Write it as plain YAML, or compare it yourself."))
        found.append(tuple(objects))
    told = {one.path for one in unread}
    alike = tuple(place for place in sorted(rendered) if place not in told and not _inside(f"{place}/", dict.fromkeys(told, "")))
    return Manifests(folder=folder or ".", old=found[0], new=found[1], unread=tuple(dict.fromkeys(unread)), alike=alike)


def _entries(trees: Trees, folder: str, *, old: bool) -> Iterator[tuple[str, tuple[int, bytes]]]:
    for path, mode, sha in trees.entries_below(folder, old=old):
        yield path, (mode, sha)


def _inside(path: str, rendered: Mapping[str, str]) -> bool:
    return any(str(parent) in rendered for parent in PurePosixPath(path).parents)


def _not_rendered(trees: Trees, folder: str, sides: Sequence[Mapping[str, tuple[int, bytes]]], rendered: Mapping[str, str]) -> Iterator[Unread]:
    for place, name in sorted(rendered.items()):
        if any(str(parent) in rendered for parent in PurePosixPath(place).parents if str(parent) != place):
            continue  # told with the folder that it is in
        tool = TOOLS[name]
        below = [{path: entry for path, entry in side.items() if place == "." or path.startswith(f"{place}/")} for side in sides]
        said = trees.text_at(posixpath.join(place, name) if place != "." else name) or ""
        outward = any(_leaves(folder, place, one) for one in _UPWARD.findall(said))
        if below[0] != below[1]:
            yield Unread(place, f"{tool} renders this folder, which differs, and no tool is run here", RENDER.format(tool=tool))
        elif _REMOTE.search(said) and tool == "kustomize":
            yield Unread(place, "it takes a base from elsewhere, which may have moved", "Pin the base to a commit and keep it in this repository.")
        elif outward:
            yield Unread(place, "it takes files from outside of the folder that was named", "Name the folder that holds them all: --manifests DIR.")


def _leaves(folder: str, place: str, upward: str) -> bool:
    reached = posixpath.normpath(posixpath.join(place, upward))
    return reached.startswith("..") or not (not folder or reached == folder or reached.startswith(f"{folder}/"))


def _placed(trees: Trees, path: str, suffix: str, *, old: bool) -> Iterator[Placed]:
    body, why = trees.read_at(path, old=old)
    if body is None:
        raise DocumentError(f"is {why}")
    documents = [(1, read_json(body))] if suffix == ".json" else read_yaml_with_lines(body)
    for line, document in documents:
        for manifest in _manifests(document):
            (rendered,) = rendered_of([manifest], own=(), destination="", revisions=())
            yield Placed(rendered=rendered, path=path, line=line)


def _manifests(document: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(document, Mapping) or not ("apiVersion" in document and "kind" in document):
        if isinstance(document, Mapping) and "kind" in document and "metadata" in document:
            raise DocumentError("has a kind and no apiVersion")
        return
    if text(document.get("kind")).endswith("List") and isinstance(document.get("items"), list):
        for one in entries(document.get("items")):
            yield from _manifests(one)
        return
    metadata = document.get("metadata")
    if not (isinstance(metadata, Mapping) and (text(metadata.get("name")) or text(metadata.get("generateName")))):
        raise DocumentError("has an object without a name")
    yield document


def is_link(mode: int) -> bool:
    """Whether an entry of a tree is a symbolic link or a submodule: nothing of it is followed."""
    return mode & KIND_OF_MODE in {SYMLINK, SUBMODULE}
