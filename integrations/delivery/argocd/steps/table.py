"""Every step that Argo CD knows, a file each. A new one gets its line here."""

from collections.abc import Mapping

from integrations.delivery.argocd.steps.abort import Abort
from integrations.delivery.argocd.steps.clear_slot import ClearSlot
from integrations.delivery.argocd.steps.deploy_pinned import DeployPinned
from integrations.delivery.argocd.steps.mark_hold import MarkHold
from integrations.delivery.argocd.steps.pin_source import PinSource
from integrations.delivery.argocd.steps.promote import Promote
from integrations.delivery.argocd.steps.prove_controller import ProveController
from integrations.delivery.argocd.steps.restore_auto_sync import RestoreAutoSync
from integrations.delivery.argocd.steps.return_to_release import ReturnToRelease
from integrations.delivery.argocd.steps.roll_back import RollBack
from integrations.delivery.argocd.steps.step import ArgoStep
from integrations.delivery.argocd.steps.stop_auto_sync import StopAutoSync
from integrations.delivery.argocd.steps.sync_release import SyncRelease
from integrations.delivery.argocd.steps.unmark_hold import UnmarkHold
from integrations.delivery.argocd.steps.unpin_source import UnpinSource

KINDS: tuple[type[ArgoStep], ...] = (
    StopAutoSync,
    ProveController,
    ClearSlot,
    RollBack,
    MarkHold,
    UnmarkHold,
    RestoreAutoSync,
    Abort,
    Promote,
    SyncRelease,
    ReturnToRelease,
    PinSource,
    DeployPinned,
    UnpinSource,
)

STEPS: Mapping[str, type[ArgoStep]] = {kind.name: kind for kind in KINDS}
"""By the name that plans and intents carry."""
