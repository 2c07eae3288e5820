import pytest

from service.cli import asking
from service.cli.client import Service
from service.cli.exit_codes import ExitCode
from service.cli.failure import CommandFailed
from tests.unit.service.cli import documents
from tests.unit.service.cli.fake_service import FakeService


def test_a_whole_id_is_used_without_asking(service: FakeService) -> None:
    assert asking.operation_id(Service(service.url, ""), documents.OPERATION) == documents.OPERATION
    assert asking.hold_id(Service(service.url, ""), documents.HOLD) == documents.HOLD
    assert service.heard == []


def test_the_beginning_of_an_id_or_trace_finds_the_operation(service: FakeService) -> None:
    service.operations = [documents.ended()]
    for given in (documents.OPERATION[:9], documents.TRACE, documents.TRACE[:6]):
        assert asking.operation_id(Service(service.url, ""), given) == documents.OPERATION


def test_a_whole_incident_id_is_looked_up_for_it_is_no_operation(service: FakeService) -> None:
    service.operations = []
    with pytest.raises(CommandFailed, match="there is no operation"):
        asking.operation_id(Service(service.url, ""), documents.INCIDENT)
    assert service.heard[0].query == {"prefix": documents.INCIDENT}


def test_a_beginning_that_is_not_clear_lists_what_it_could_mean(service: FakeService) -> None:
    with pytest.raises(CommandFailed, match="2 operations begin with") as failed:
        asking.operation_id(Service(service.url, ""), documents.TRACE[:6])
    assert failed.value.code is ExitCode.USAGE


def test_a_hold_is_found_among_the_open_ones(service: FakeService) -> None:
    assert asking.hold_id(Service(service.url, ""), "hld_5f") == documents.HOLD
    assert service.heard[0].query == {"state": "open", "limit": "500"}


@pytest.mark.parametrize(("given", "segment"), [("prod:checkout", "prod%3Acheckout"), ("spin:shop/prod k8s/ä", "spin%3Ashop%2Fprod%20k8s%2F%C3%A4")])
def test_a_target_becomes_one_segment(given: str, segment: str) -> None:
    assert asking.target_id(given) == segment


@pytest.mark.parametrize("given", ["", "checkout", ":checkout", "prod:"])
def test_what_is_no_target_says_what_one_is(given: str) -> None:
    with pytest.raises(CommandFailed, match="expected <instance>:<name>"):
        asking.target_id(given)


def test_names_may_be_repeated_and_separated_by_commas_and_count_once() -> None:
    assert asking.names(["a, b", "b,,c "]) == ["a", "b", "c"]
    assert asking.names(None) == []
