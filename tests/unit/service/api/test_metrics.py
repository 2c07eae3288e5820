from prometheus_client import CollectorRegistry, generate_latest

from service.api.metrics import ANSWERS, ApiMetrics
from service.api.resources.alerts import ANSWER_OF


def test_every_answer_and_source_starts_at_zero_so_that_the_first_rise_is_seen() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry, sources=("alertmanager",))
    text = generate_latest(registry).decode()
    assert all(f'backout_deliveries_total{{answer="{answer}"}} 0.0' in text for answer in ANSWERS)
    assert 'backout_alerts_received_total{source="alertmanager"} 0.0' in text


def test_two_services_in_one_process_do_not_share_numbers() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    ApiMetrics(first).deliveries.labels("accepted").inc()
    ApiMetrics(second)
    assert 'answer="accepted"} 1.0' in generate_latest(first).decode()
    assert 'answer="accepted"} 0.0' in generate_latest(second).decode()


def test_every_answer_of_the_intake_has_its_counter() -> None:
    assert set(ANSWER_OF.values()) <= set(ANSWERS)
