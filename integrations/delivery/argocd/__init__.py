"""Argo CD behind the delivery port, true to its HTTP API as recorded on v3.2.11. `Settings` and `build` are all that wiring needs."""

from integrations.delivery.argocd.adapter import ArgoCD, build
from integrations.delivery.argocd.settings import Settings

__all__ = ["ArgoCD", "Settings", "build"]
