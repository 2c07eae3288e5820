import json

from service.cli.reports import as_sarif
from tests.unit.service.cli.reports.made import BLOCK, EVIL, UNKNOWN, WAIVED, WARN, report


def test_each_finding_is_a_result_with_its_rule_place_and_level() -> None:
    run = as_sarif(report(BLOCK, UNKNOWN, WARN, WAIVED))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["column_dropped", "dependencies_changed", "index_dropped"]
    results = run["results"]
    assert [one["level"] for one in results] == ["error", "error", "warning", "error"]
    assert all(rules[one["ruleIndex"]] == one["ruleId"] for one in results)
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "db/a%20b%2Cc%3Ad.sql", "uriBaseId": "SRCROOT"}
    assert place["region"] == {"startLine": 3, "snippet": {"text": BLOCK.statement}}
    assert results[1]["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert [one.get("suppressions") for one in results[:3]] == [None] * 3
    assert results[3]["suppressions"] == [{"kind": "external", "status": "accepted", "justification": "unused | since 2.3"}]


def test_the_same_finding_has_the_same_fingerprint_wherever_its_line_is() -> None:
    from dataclasses import replace  # noqa: PLC0415  only here

    first, moved, other = as_sarif(report(BLOCK, replace(BLOCK, line=9), replace(BLOCK, path="else.sql")))["runs"][0]["results"]
    assert first["partialFingerprints"] == moved["partialFingerprints"] != other["partialFingerprints"]


def test_what_has_no_file_has_no_place_and_control_characters_are_shown() -> None:
    document = as_sarif(report(EVIL, UNKNOWN.__class__(rule="no_source", answer="unknown", path="", line=0, says="x")))
    assert "locations" not in document["runs"][0]["results"][1]
    assert "\x1b" not in json.dumps(document, ensure_ascii=False)
