from service.cli.reports import FORMS
from tests.unit.service.cli.reports.made import BLOCK, UNKNOWN, WARN, report


def test_every_form_tells_of_every_kind_of_finding() -> None:
    for form in FORMS.values():
        text = form(report(BLOCK, UNKNOWN, WARN))
        assert "dependencies_changed" in text
