"""The command lines that a person could type instead of us, quoted for a shell."""

import json
import shlex

from integrations.delivery.argocd.client import AppRef
from service.domain.model import Json, ObjectRef


def argocd(ref: AppRef, *verb: str, then: tuple[str, ...] = ()) -> str:
    """`argocd app VERB APP …`; an application outside the control plane's namespace is named with its own."""
    name = f"{ref.namespace}/{ref.name}" if ref.namespace else ref.name
    return shlex.join(["argocd", "app", *verb, name, *then])


def action(ref: AppRef, on: ObjectRef, name: str) -> str:
    """`argocd app actions run` on one object of the application."""
    there = ("--namespace", on.namespace) if on.namespace else ()
    return argocd(ref, "actions", "run", then=(name, "--group", on.group, "--kind", on.kind, *there, "--resource-name", on.name))


def take_operation_away(namespace: str, name: str) -> str:
    """`kubectl patch`: Argo CD's own API cannot end an operation that its controller has not picked up (contract 3.6)."""
    body = json.dumps([{"op": "remove", "path": "/operation"}])
    return shlex.join(["kubectl", "--namespace", namespace, "patch", f"applications.argoproj.io/{name}", "--type", "json", "--patch", body])


def patch(ref: AppRef, kind: str, body: Json) -> str:
    """`argocd app patch` with a JSON or merge patch."""
    return argocd(ref, "patch", then=("--type", kind, "--patch", json.dumps(body)))
