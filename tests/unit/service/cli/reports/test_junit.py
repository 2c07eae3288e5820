from defusedxml.ElementTree import fromstring

from service.cli.reports import as_junit
from tests.unit.service.cli.reports.made import BLOCK, EVIL, UNKNOWN, WAIVED, WARN, report


def test_each_finding_is_a_case_that_ends_as_it_counts() -> None:
    top = fromstring(as_junit(report(BLOCK, UNKNOWN, WARN, WAIVED)).encode())
    suite = top[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert [case[0].tag for case in suite] == ["failure", "error", "system-out", "skipped"]
    assert suite[0].get("name") == "db/a b,c:d.sql:3 Drops column orders.status."
    assert "Later." in (suite[0][0].text or "")


def test_a_warning_fails_only_where_it_counts() -> None:
    for code, tag in ((0, "system-out"), (3, "failure")):
        assert fromstring(as_junit(report(WARN, answer="warn", code=code)).encode())[0][0][0].tag == tag


def test_nothing_found_is_one_case_that_passes() -> None:
    for found in ((), (WAIVED,)):
        suite = fromstring(as_junit(report(*found, answer="pass", code=0, says="Yes.")).encode())[0]
        assert (suite[0].get("name"), len(suite[0])) == ("Yes.", 0)


def test_texts_of_strangers_stay_texts() -> None:
    case = fromstring(as_junit(report(EVIL)).encode())[0][0]
    assert "<script>" in (case[0].text or "")
    assert "\x1b" not in as_junit(report(EVIL))
