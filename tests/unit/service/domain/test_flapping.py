from service.domain.flapping import FIRINGS, flaps


def test_an_alert_that_fires_again_and_again_flaps() -> None:
    assert flaps([("HighErrorRate", FIRINGS)]) == "HighErrorRate fired 3 times within 30 minutes: it flaps"


def test_one_that_came_back_once_does_not() -> None:
    assert flaps([("HighErrorRate", FIRINGS - 1)]) == ""
    assert flaps([]) == ""


def test_one_that_does_not_flap_stands_for_itself_beside_others_that_do() -> None:
    assert flaps([("HighErrorRate", 1), ("Latency", 9)]) == ""


def test_the_worst_is_named_and_the_others_counted() -> None:
    assert flaps([("HighErrorRate", 3), ("Latency", 9)]) == "Latency fired 9 times within 30 minutes (and 1 more): it flaps"
