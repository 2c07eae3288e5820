"""Which programs the lab runs, and where each comes from: Go modules that are compiled here, or Debian packages.

Versions stand only in `go/<module>/go.mod`. How they are compiled is in `build.py`, how they are started in the files
named after their systems.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GO_MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """A program compiled from the Go proxy.

    `stamps` are linker variables; in their values `{version}` is the version without its "v", `{major}` and `{minor}`
    its parts. Without them Argo CD and Kubernetes report made-up versions, and clients believe those. `manifests` are
    the folders below `manifests/` of its module that the lab applies.
    """

    name: str
    folder: str
    source: str
    package: str
    stamps: Mapping[str, str] = field(default_factory=dict)
    manifests: tuple[str, ...] = ()

    @property
    def module(self) -> Path:
        """The folder with the go.mod and go.sum this program is compiled in."""
        return GO_MODULES / self.folder

    @property
    def version(self) -> str:
        """The version that go.mod requires, such as `v3.2.11`; ValueError when it requires none."""
        found = re.search(rf"^\s*(?:require\s+)?{re.escape(self.source)}\s+(v\S+)", (self.module / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.module / 'go.mod'} does not require {self.source}")
        return found[1]

    @property
    def linker_flags(self) -> str:
        """The value of `-ldflags`: no symbol tables, and the stamps."""
        version = self.version.removeprefix("v")
        major, minor, *_ = version.split(".")
        stamped = [f"-X {variable}={value.format(version=version, major=major, minor=minor)}" for variable, value in self.stamps.items()]
        return " ".join(["-s", "-w", *stamped])

    @property
    def recipe(self) -> str:
        """A digest of all that decides the binary; another digest than the cached one means: compile again."""
        parts = [self.package, self.linker_flags, (self.module / "go.mod").read_text(), (self.module / "go.sum").read_text()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianProgram:
    """A program from a Debian package, found on PATH by its command."""

    command: str
    package: str


_KUBERNETES_STAMPS = {
    "k8s.io/component-base/version.gitVersion": "v{version}",
    "k8s.io/component-base/version.gitMajor": "{major}",
    "k8s.io/component-base/version.gitMinor": "{minor}",
    "k8s.io/client-go/pkg/version.gitVersion": "v{version}",
}

ARGOCD = GoProgram(
    name="argocd",
    folder="argocd",
    source="github.com/argoproj/argo-cd/v3",
    package="github.com/argoproj/argo-cd/v3/cmd",
    stamps={"github.com/argoproj/argo-cd/v3/common.version": "{version}"},
    manifests=("crds", "base/config"),
)

ROLLOUTS = GoProgram(
    name="argo-rollouts",
    folder="rollouts",
    source="github.com/argoproj/argo-rollouts",
    package="github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    stamps={"github.com/argoproj/argo-rollouts/utils/version.version": "{version}"},
    manifests=("crds",),
)

# What Argo CD renders charts with; the version is the one that its own image carries (hack/tool-versions.sh of the same release).
HELM = GoProgram(
    name="helm",
    folder="helm",
    source="helm.sh/helm/v3",
    package="helm.sh/helm/v3/cmd/helm",
    stamps={"helm.sh/helm/v3/internal/version.version": "v{version}"},
)

# What Argo CD renders kustomizations with; its version as Helm's above.
KUSTOMIZE = GoProgram(
    name="kustomize",
    folder="kustomize",
    source="sigs.k8s.io/kustomize/kustomize/v5",
    package="sigs.k8s.io/kustomize/kustomize/v5",
    stamps={"sigs.k8s.io/kustomize/api/provenance.version": "v{version}"},
)

# In the order in which they are compiled: each is quicker for the packages the one before it has left in Go's cache.
COMPILED = (
    ARGOCD,
    GoProgram(
        name="kube-apiserver",
        folder="argocd",
        source="k8s.io/kubernetes",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        stamps=_KUBERNETES_STAMPS,
    ),
    GoProgram(
        name="kube-controller-manager",
        folder="argocd",
        source="k8s.io/kubernetes",
        package="k8s.io/kubernetes/cmd/kube-controller-manager",
        stamps=_KUBERNETES_STAMPS,
    ),
    ROLLOUTS,
    HELM,
    KUSTOMIZE,
    GoProgram(
        name="alertmanager",
        folder="alertmanager",
        source="github.com/prometheus/alertmanager",
        package="github.com/prometheus/alertmanager/cmd/alertmanager",
        stamps={"github.com/prometheus/common/version.Version": "{version}"},
    ),
    GoProgram(
        name="jaeger",
        folder="jaeger",
        source="github.com/jaegertracing/jaeger",
        package="github.com/jaegertracing/jaeger/cmd/jaeger",
        stamps={"github.com/jaegertracing/jaeger/internal/version.latestVersion": "v{version}"},
    ),
)

PACKAGED = (
    DebianProgram(command="etcd", package="etcd-server"),
    DebianProgram(command="redis-server", package="redis-server"),
    DebianProgram(command="prometheus", package="prometheus"),
    DebianProgram(command="docker-registry", package="docker-registry"),
    DebianProgram(command="git", package="git"),
)
