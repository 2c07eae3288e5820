"""Every step that Spinnaker knows, a file each. A new one gets its line here."""

from collections.abc import Mapping

from integrations.delivery.spinnaker.steps.open_triggers import OpenTriggers
from integrations.delivery.spinnaker.steps.run_own_pipeline import RunOwnPipeline
from integrations.delivery.spinnaker.steps.see_canary import SeeCanary
from integrations.delivery.spinnaker.steps.shut_triggers import ShutTriggers
from integrations.delivery.spinnaker.steps.step import SpinnakerStep
from integrations.delivery.spinnaker.steps.stop_deploy import StopDeploy
from integrations.delivery.spinnaker.steps.switch_groups import SwitchGroups
from integrations.delivery.spinnaker.steps.undo import Undo
from integrations.delivery.spinnaker.steps.unmark_triggers import UnmarkTriggers
from integrations.delivery.spinnaker.steps.watch import Watch

KINDS: tuple[type[SpinnakerStep], ...] = (ShutTriggers, StopDeploy, SwitchGroups, Undo, RunOwnPipeline, SeeCanary, OpenTriggers, UnmarkTriggers, Watch)

STEPS: Mapping[str, type[SpinnakerStep]] = {kind.name: kind for kind in KINDS}
"""By the name that plans and intents carry."""
