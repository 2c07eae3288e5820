import re
from pathlib import Path

from service.domain.schema import ADVICE, SchemaVerdict, Tool, advice_of

SCHEMA = Path(__file__).parents[5] / "service" / "domain" / "schema"
WORDS = re.compile(r'(?:become|found|_note|unknown|_unknown|Finding|refuse)\(\s*"([a-z]+(?:_[a-z0-9]+)+)"')
RULE = re.compile(r'rule(?:, verdict, clears)? = "([a-z]+(?:_[a-z0-9]+)+)"|return "([a-z]+(?:_[a-z0-9]+)+)", _[A-Z]+,')


def test_every_rule_that_a_reader_or_the_judge_names_has_advice_of_its_own() -> None:
    texts = [file.read_text(encoding="utf-8") for file in sorted(SCHEMA.rglob("*.py"))]
    named = {found for text in texts for found in WORDS.findall(text)} | {one for text in texts for pair in RULE.findall(text) for one in pair if one}
    assert len(named) > 40
    general = {advice_of("x_dropped").what, advice_of("x_renamed").what, advice_of("x_replaced").what, advice_of("nonsense").what}
    strange = {rule for rule in named if advice_of(rule).what in general}
    assert not strange, f"give them an entry in advice.py, then write the page: BACKOUT_WRITE_DOCS=1 pytest tests/unit/test_migrations_page.py ({strange})"


def test_whatever_is_not_safe_says_why_and_what_to_do() -> None:
    for rule, advice in ADVICE.items():
        assert advice.why.endswith("."), rule
        assert bool(advice.do) is (advice.verdict is not SchemaVerdict.SAFE), rule
        for text in (advice.what, advice.why, advice.do, *advice.tools.values()):
            assert "OLD" not in text.replace("<OLD", ""), rule


def test_a_person_reads_the_words_of_the_tool_in_use() -> None:
    advice = advice_of("default_dropped_on_new_not_null_column")
    assert "db_default" in advice.for_tool(Tool.DJANGO)
    assert "db_default" not in advice.for_tool(Tool.FLYWAY)
    assert advice.for_tool(None) == advice.do


def test_names_made_of_an_object_have_the_advice_of_their_ending() -> None:
    assert advice_of("sequence_dropped").verdict is SchemaVerdict.BREAKS
    assert advice_of("schema_renamed").verdict is SchemaVerdict.BREAKS
    assert advice_of("never_heard_of").verdict is SchemaVerdict.UNKNOWN
