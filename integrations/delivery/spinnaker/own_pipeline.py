"""Which rollback pipeline a team has for a target, and with which parameters it would be started for a release; pure."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from integrations.delivery.spinnaker.doors import means
from integrations.delivery.spinnaker.executions import GOING_BACK
from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.looked import Looked
from integrations.delivery.spinnaker.own_rollback import EXACT, read_own_rollback
from integrations.delivery.spinnaker.pipelines import Pipeline
from integrations.delivery.spinnaker.settings import PLACE, RollbackPipeline, Settings
from service.domain.keys import OwnPipeline
from service.domain.model import TargetId


def chosen(settings: Settings, target: TargetId) -> RollbackPipeline | None:
    """The first that names the target."""
    return next((one for one in settings.rollback_pipelines if any(fnmatchcase(target.name, wanted) for wanted in one.targets)), None)


def own_pipeline_of(settings: Settings, looked: Looked, goal: str) -> OwnPipeline | None:
    """The team's pipeline, read for going back to the release of that key; None where none is set up for the target."""
    wanted = chosen(settings, looked.target)
    if wanted is None:
        return None
    found = saved(wanted, looked)
    known = known_of(looked, goal)
    values = {name: PLACE.sub(lambda place: known.get(place[1], ""), text) for name, text in wanted.parameters.items()}
    if found is None:
        return OwnPipeline(id="", name=wanted.pipeline, values=values, blocked=(f"application {looked.application} has no pipeline of that name",))
    read = read_own_rollback(found, values, deploy_is_running=any(run.config == found.id and not run.status.ended for run in looked.runs))
    unknown = [f"parameter {name} is to name the {place}, which is not known of that release" for name, place in _places(wanted) if not known.get(place)]
    return OwnPipeline(
        id=found.id,
        name=found.name,
        values=values,
        blocked=(*read.blocked, *_elsewhere(found, looked)),
        missing=(*unknown, *read.missing),
        to_person=read.to_person,
    )


def saved(wanted: RollbackPipeline, looked: Looked) -> Pipeline | None:
    """The saved pipeline that is meant."""
    return next((one for one in looked.pipelines if one.name == wanted.pipeline), None)


def known_of(looked: Looked, goal: str) -> Mapping[str, str]:
    """What the places of a parameter's value stand for; "" for what is not known of the release."""
    address = looked.address
    release = next((one for one in looked.state().history if one.key == goal), None)
    location, name = (address.location, address.name) if isinstance(address, ManifestAddress) else (address.region, address.cluster)
    where = {"account": address.account, "namespace": location, "name": name}
    if release is None:
        return where
    images = looked.images_of(release.key, release.handle)
    return {**where, "revision": release.handle, "version": release.version, "image": images[0].reference if images else ""}


def _places(wanted: RollbackPipeline) -> Iterator[tuple[str, str]]:
    return ((name, place) for name, text in wanted.parameters.items() for place in PLACE.findall(text))


def _elsewhere(pipeline: Pipeline, looked: Looked) -> tuple[str, ...]:
    """Why it goes back somewhere else, if every stage of it that goes back names another target."""
    back = [stage for stage in pipeline.stages if stage.kind in EXACT | GOING_BACK]
    if back and all(means(stage.body, looked.address) is None for stage in back):
        return ("no stage of it that goes back means this target",)
    return ()
