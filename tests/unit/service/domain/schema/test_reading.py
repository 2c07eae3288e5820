from service.domain.schema import Dialect, SchemaReading, SchemaVerdict, StatementReading, summary
from service.domain.schema.reading import worst


def finding(verdict: SchemaVerdict, says: str, line: int = 3) -> StatementReading:
    return StatementReading(path="db/migration/V2__x.sql", line=line, statement="...", rule="a_rule", verdict=verdict, says=says)


def reading(*statements: StatementReading) -> SchemaReading:
    return SchemaReading(dialect=Dialect.POSTGRES, statements=statements, verdict=worst(statements))


def test_the_worst_verdict_stands_and_unknown_is_worse_than_warn() -> None:
    safe, warn = finding(SchemaVerdict.SAFE, "a"), finding(SchemaVerdict.WARN, "b")
    unknown, breaks = finding(SchemaVerdict.UNKNOWN, "c"), finding(SchemaVerdict.BREAKS, "d")
    assert worst(()) is SchemaVerdict.SAFE
    assert worst((safe, warn)) is SchemaVerdict.WARN
    assert worst((unknown, warn, safe)) is SchemaVerdict.UNKNOWN
    assert worst((unknown, breaks)) is SchemaVerdict.BREAKS


def test_the_summary_names_the_worst_finding_first_with_file_and_line() -> None:
    sentence = summary(reading(finding(SchemaVerdict.WARN, "adds rows to table a"), finding(SchemaVerdict.BREAKS, "drops column orders.legacy_status", line=7)))
    assert sentence == (
        "the release that would come back cannot run on this schema: "
        "db/migration/V2__x.sql:7 drops column orders.legacy_status; db/migration/V2__x.sql:3 adds rows to table a"
    )


def test_the_summary_counts_what_it_leaves_out() -> None:
    many = [finding(SchemaVerdict.UNKNOWN, f"is odd {number}", line=0) for number in range(5)]
    sentence = summary(reading(*many), limit=2)
    assert sentence.endswith("V2__x.sql is odd 0; db/migration/V2__x.sql is odd 1; and 3 more")
    assert "unknown" in sentence


def test_the_summary_of_nothing_and_of_only_safe_statements_says_so() -> None:
    assert summary(reading()) == "no migration statement in the range"
    assert summary(reading(finding(SchemaVerdict.SAFE, "adds column a.b"))).startswith("all 1 migration statements in 1 files leave the schema usable")


def test_equally_bad_findings_keep_the_order_of_the_range() -> None:
    ordered = reading(finding(SchemaVerdict.WARN, "first"), finding(SchemaVerdict.BREAKS, "second"), finding(SchemaVerdict.WARN, "third")).worst_first()
    assert [one.says for one in ordered] == ["second", "first", "third"]
