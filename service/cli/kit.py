"""The files that `backout init` writes for somebody's own names: settings, the route of Alertmanager, the account and the role in Argo CD. Pure text.

The rights are the least that were recorded to be needed (docs/argocd.md): for each project named, and no `*` for a project, a right or a verb. What is
Spinnaker's stands in `kit_spinnaker.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.cli.kit_spinnaker import SpinnakerWishes
from service.cli.kit_text import NAME, is_address, quoted, with_comment

PROJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
MODES: Final = ("observe", "suggest", "approve", "auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the person said. Addresses may be "" where a thing is not there; `projects` are Argo CD's, at least one where there is an Argo CD."""

    argocd_url: str = ""
    projects: tuple[str, ...] = ()
    spinnaker: SpinnakerWishes | None = None
    instance: str = "prod"
    account: str = "backout"
    namespace: str = "argocd"
    may_stop_auto_sync: bool = True
    rollouts: bool = False
    promote_full: bool = False
    prometheus_url: str = ""
    notify_url: str = ""
    public_url: str = "http://127.0.0.1:8080"
    mode: str = "observe"

    @property
    def has_argocd(self) -> bool:
        """Whether there is an Argo CD; there is one as well where nothing was said."""
        return bool(self.argocd_url or self.projects) or self.spinnaker is None

    @property
    def instances(self) -> tuple[str, ...]:
        """First halves of the targets' names."""
        return (*([self.instance] if self.has_argocd else []), *([self.spinnaker.instance] if self.spinnaker else []))

    def faults(self) -> list[str]:
        """What is wrong with them, one sentence each; nothing of it may reach a policy line or a settings file."""
        found = self._faults_of_argocd() if self.has_argocd else []
        found += self.spinnaker.faults() if self.spinnaker else []
        if len(set(self.instances)) < len(self.instances):
            found.append(f"two instances cannot both be called {self.instance}")
        found += [f"{self.mode!r} is no mode: expected {', '.join(MODES)}"] if self.mode not in MODES else []
        addresses = {"Prometheus": self.prometheus_url, "the receiver of messages": self.notify_url, "Backout": self.public_url}
        return found + [_no_address(value, what) for what, value in addresses.items() if not is_address(value, required=what == "Backout")]

    def _faults_of_argocd(self) -> list[str]:
        found = [f"{self.instance!r} is no name for an instance: expected a-z, 0-9 and -"] if not NAME.fullmatch(self.instance) else []
        found += [f"{self.account!r} is no name for an account: expected a-z, 0-9 and -"] if not NAME.fullmatch(self.account) else []
        found += [f"{self.namespace!r} is no namespace"] if not NAME.fullmatch(self.namespace) else []
        found += ["the account must not be admin: Backout's acts could not be told from a person's"] if self.account == "admin" else []
        found += ["name at least one Argo CD project: the role is made for those projects alone"] if not self.projects else []
        found += [f"{one!r} is no project: name each one, without *" for one in self.projects if not PROJECT.fullmatch(one)]
        if self.mode in {"approve", "auto"} and not self.may_stop_auto_sync:
            found.append(f"mode {self.mode} on auto-synced applications needs the right to stop auto-sync; begin with observe or suggest")
        return found + ([] if is_address(self.argocd_url, required=True) else [_no_address(self.argocd_url, "Argo CD")])


def _no_address(value: str, what: str) -> str:
    return f"{value!r} is no address of {what}: expected https://…"


def files(wishes: Wishes) -> Mapping[str, str]:
    """Name -> text. What holds a secret is not among them."""
    argocd = {"argocd-account.yaml": argocd_account(wishes), "argocd-rbac.yaml": argocd_rbac(wishes)} if wishes.has_argocd else {}
    spinnaker = wishes.spinnaker.files(wishes.public_url) if wishes.spinnaker else {}
    return {"backout.yaml": settings(wishes), "alertmanager.yaml": alertmanager(wishes), **argocd, **spinnaker}


def settings(wishes: Wishes) -> str:
    """The settings, with a sentence to each."""
    every = [quoted(f"{name}:*") for name in wishes.instances]
    speaks_for = every[0] if len(every) == 1 else quoted("*")
    if wishes.prometheus_url:
        evidence = [
            "evidence:",
            with_comment(f"  prometheus: {{url: {quoted(wishes.prometheus_url)}}}", "whether an alert fires, and whether a rollback helped"),
        ]
    else:
        lacking = "without it nobody can say whether an alert fires or a rollback helped"
        evidence = ["# evidence:", with_comment('#   prometheus: {url: "http://prometheus.monitoring:9090"}', lacking)]
    notify = (
        ["notify:", with_comment(f"  - {{kind: webhook, name: on-call, url: {quoted(wishes.notify_url)}}}", "who is told")]
        if wishes.notify_url
        else [
            with_comment("# notify:", "without somebody to tell, nothing leaves mode observe"),
            '#   - {kind: webhook, name: on-call, url: "https://chat.example.com/hook"}',
        ]
    )
    lines = [
        "# Made by `backout init`. Each setting: `backout help settings`. Files are meant beside this one; secrets stand in files of their own.",
        with_comment("listen: 127.0.0.1:8080", "in a container 0.0.0.0:8080, behind something that speaks TLS"),
        with_comment("store: sqlite:///backout.db", "on a disk that survives; postgresql://… for more than one replica"),
        with_comment("stop_file: STOP", "its presence stops everything, also while the store is down"),
        with_comment(f"public_url: {quoted(wishes.public_url)}", "where people and Alertmanager reach it"),
        "",
        with_comment("auth: {keys_file: keys.json}", "people's tokens: backout token create --config backout.yaml …"),
        "",
        "alerts:",
        "  alertmanager:",
        with_comment(f"    - {{name: main, token_file: alert-token, targets: {speaks_for}}}", "this sender speaks for these targets only"),
        "",
        *notify,
        "",
        "delivery:",
        *(_argocd_instance(wishes) if wishes.has_argocd else []),
        *(wishes.spinnaker.delivery() if wishes.spinnaker else []),
        "",
        *evidence,
        with_comment("#   registry: {registries: [{host: registry.example.com}]}", "whether the good release's images are still there"),
        with_comment('#   git: {repositories: [{repository: "https://git.example.com/shop/checkout.git"}]}', "which migrations lie in between"),
        "",
        with_comment("targets:", "the first match counts"),
        *(line for one in every for line in _policy_of(one, wishes)),
    ]
    return "\n".join(lines) + "\n"


def _argocd_instance(wishes: Wishes) -> list[str]:
    return [
        "  - kind: argocd",
        with_comment(f"    name: {wishes.instance}", f"targets are called {wishes.instance}:<application>"),
        f"    url: {quoted(wishes.argocd_url)}",
        with_comment("    token_file: argocd-token", f"of the account {wishes.account}, see argocd-account.yaml and argocd-rbac.yaml"),
        with_comment(f"    projects: [{', '.join(map(quoted, wishes.projects))}]", "named, so that an empty list is told from a token without the right"),
        f"    namespace: {wishes.namespace}",
    ]


def _policy_of(pattern: str, wishes: Wishes) -> list[str]:
    """What may happen to the targets of one instance."""
    full = [with_comment("    promote_full: true", "after a rollback a Rollout's steps are skipped")] if wishes.promote_full else []
    return [
        f"  - match: {pattern}",
        with_comment(f"    mode: {wishes.mode}", "observe → suggest → approve → auto: go up when you agree with what it records"),
        *full,
    ]


def alertmanager(wishes: Wishes) -> str:
    """The route and the receiver, as a whole configuration that `amtool check-config` takes."""
    labels = ", ".join([*(["argocd_app"] if wishes.has_argocd else []), *(["spinnaker_app"] if wishes.spinnaker else [])])
    return f"""\
# Made by `backout init`: put the route and the receiver `backout` into your own alertmanager.yml; docs/alertmanager.md says why each line.
route:
  receiver: people
  routes:
    - receiver: backout
      matchers: ['backout=~"observe|suggest|approve|auto"']   # opt in by a label of the rule, never "everything critical"
      group_by: [alertname, namespace, {labels}]
      group_wait: 10s
      group_interval: 1m
      repeat_interval: 10m          # acts as "still firing"
      continue: true                # people are still paged
receivers:
  - name: people                    # your own
  - name: backout
    webhook_configs:
      - url: {quoted(wishes.public_url.rstrip("/") + "/v1/alerts/alertmanager")}
        send_resolved: true
        max_alerts: 0               # a cut list hides alerts
        # timeout: 10s              # Alertmanager 0.28 and later
        http_config:
          follow_redirects: false   # a redirect becomes a visible error instead of a lost alert
          authorization: {{credentials_file: /etc/alertmanager/backout-token}}   # the file alert-token, copied there
"""


def argocd_account(wishes: Wishes) -> str:
    """A merge patch of the ConfigMap argocd-cm."""
    return f"""\
# Made by `backout init`: an account of Backout's own, for its acts are told from people's by its name.
# kubectl -n {wishes.namespace} patch configmap argocd-cm --type merge --patch-file argocd-account.yaml
data:
  accounts.{wishes.account}: apiKey
"""


def argocd_rbac(wishes: Wishes) -> str:
    """A merge patch of the ConfigMap argocd-rbac-cm; a key of its own, so that no other policy is touched."""
    lines = "".join(f"    {line}\n" for line in policy(wishes))
    return f"""\
# Made by `backout init`: what the account {wishes.account} may do, and nothing more. Argo CD adds every policy.*.csv to policy.csv.
# kubectl -n {wishes.namespace} patch configmap argocd-rbac-cm --type merge --patch-file argocd-rbac.yaml
data:
  policy.{wishes.account}.csv: |
{lines}"""


def policy(wishes: Wishes) -> list[str]:
    """The policy lines: `get` to look, `sync` to roll back, `update` where auto-sync has to be stopped, a Rollout's own actions where there are any."""
    role = f"role:{wishes.account}"
    verbs = ["get", "sync", *(["update"] if wishes.may_stop_auto_sync else [])]
    verbs += ["action/argoproj.io/Rollout/abort"] if wishes.rollouts or wishes.promote_full else []
    verbs += ["action/argoproj.io/Rollout/promote-full"] if wishes.promote_full else []
    lines = []
    for project in wishes.projects:
        lines += [f"p, {role}, applications, {verb}, {project}/*, allow" for verb in verbs]
        lines += [f"p, {role}, applicationsets, get, {project}/*, allow", f"p, {role}, projects, get, {project}, allow"]
    return [*lines, f"g, {wishes.account}, {role}"]


def next_steps(wishes: Wishes, folder: str) -> list[tuple[str, list[str]]]:
    """What to do now, in order: a sentence and the commands to it."""
    at = folder.rstrip("/")
    patterns = ",".join(f"{name}:*" for name in wishes.instances)
    may = f"--scope targets:read,operations:read,plans:write --targets '{patterns}'"
    kubectl = f"kubectl -n {wishes.namespace} patch configmap"
    argocd = (
        "Argo CD: make the account and give it its role, then a token",
        [
            f"{kubectl} argocd-cm --type merge --patch-file {at}/argocd-account.yaml",
            f"{kubectl} argocd-rbac-cm --type merge --patch-file {at}/argocd-rbac.yaml",
            f"(umask 077; argocd account generate-token --account {wishes.account} > {at}/argocd-token)",
        ],
    )
    return [
        *([argocd] if wishes.has_argocd else []),
        *(wishes.spinnaker.next_steps(at) if wishes.spinnaker else []),
        (f"Alertmanager: put the route of {at}/alertmanager.yaml into yours, and {at}/alert-token where it names it", []),
        ("Look whether everything is there, then run it", [f"backout doctor --config {at}/backout.yaml", f"backout serve --config {at}/backout.yaml"]),
        (
            "A token for yourself",
            [
                f"backout token create --config {at}/backout.yaml --subject YOU {may} --expires 12h --output you.token",
                "export BACKOUT_TOKEN_FILE=you.token && backout targets",
            ],
        ),
    ]
