from service.cli import render
from tests.unit.service.cli import documents
from tests.unit.service.cli.render.printing import Golden


def test_the_stop_switch_says_how_to_go_on(golden: Golden) -> None:
    golden("stop", render.stop(documents.switch("stopped by user:alice: storm")), render.stop(documents.switch()))


def test_the_history_of_the_stop_switch_ends_with_how_it_stands(golden: Golden) -> None:
    golden(
        "stop-history",
        render.stop_history(documents.switch("stopped by user:alice: storm"), documents.stop_events()),
        render.stop_history(documents.switch(), {"events": []}),
    )
