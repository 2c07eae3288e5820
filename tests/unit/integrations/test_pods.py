from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.pods import image_digest, pod_of
from service.domain.errors import PermanentError
from service.domain.model import Image

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"docker-pullable://registry.example/web@{DIGEST}", DIGEST),
        (f"registry.example/web@{DIGEST}", DIGEST),
        (DIGEST, DIGEST),
        (f"docker://{DIGEST}", None),
        ("", None),
        ("registry.example/web:1.0", None),
    ],
)
def test_image_ids_of_all_runtimes(image_id: str, digest: str | None) -> None:
    assert image_digest(image_id) == digest


def pod(**status: Any) -> Any:
    told = [{"name": "main", "imageID": f"registry.example/web@{DIGEST}", "ready": True, "state": {"running": {}}}]
    conditions = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {"name": "web-1"},
        "spec": {"containers": [{"name": "main", "image": "registry.example/web:2.0"}], "initContainers": [{"name": "init", "image": "other"}]},
        "status": {"phase": "Running", "startTime": "2026-11-23T04:43:00Z", "conditions": conditions, "containerStatuses": told, **status},
    }


def test_a_pod_tells_what_really_runs() -> None:
    found = pod_of(pod())
    assert found is not None
    assert found.images == (Image(reference="registry.example/web:2.0", digest=DIGEST, proof="pods"),)
    assert (found.name, found.ready, found.started_at) == ("web-1", True, datetime(2026, 11, 23, 4, 43, tzinfo=UTC))


def test_readiness_comes_from_the_condition_and_its_absence_is_not_ready() -> None:
    for conditions in ([{"type": "Ready", "status": "False"}], None, [{"type": "PodScheduled", "status": "True"}]):
        found = pod_of(pod(conditions=conditions))
        assert found is not None
        assert not found.ready


def test_a_pod_that_ended_is_left_out_and_one_that_has_not_begun_has_no_digest() -> None:
    assert pod_of(pod(phase="Succeeded")) is None
    waiting = pod_of(pod(phase="Pending", conditions=None, containerStatuses=None))
    assert waiting is not None
    assert [image.digest for image in waiting.images] == [None]
    assert not waiting.ready


def test_a_running_container_that_does_not_say_what_it_runs_is_an_error() -> None:
    for told in ([{"name": "main", "imageID": "", "ready": True}], [{"name": "main", "imageID": "", "state": {"running": {}}}]):
        with pytest.raises(PermanentError, match="does not say which image"):
            pod_of(pod(containerStatuses=told))
    with pytest.raises(PermanentError, match="shows no containers"):
        pod_of({"metadata": {"name": "x"}, "status": {"phase": "Running"}})


def test_a_pod_tells_why_it_waits_and_how_often_it_was_started_again() -> None:
    told = [
        {"name": "main", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}},
        {"name": "side", "restartCount": 1, "imageID": DIGEST, "state": {"running": {}}},
    ]
    found = pod_of(pod(containerStatuses=told))
    assert found is not None
    assert (found.restarts, found.waits, found.ending) == (4, "CrashLoopBackOff", False)


def test_a_pod_that_was_told_to_end_says_so() -> None:
    found = pod_of({**pod(), "metadata": {"name": "web-1", "deletionTimestamp": "2026-11-23T04:44:00Z"}})
    assert found is not None
    assert found.ending


def test_a_time_that_is_none_is_an_error() -> None:
    with pytest.raises(PermanentError, match="gave 'soon' for a time"):
        pod_of(pod(startTime="soon"))
