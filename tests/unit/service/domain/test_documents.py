import pytest

from service.domain.documents import MAX_CHARACTERS, MAX_DEPTH, DocumentError, read_json, read_xml, read_yaml, read_yaml_with_lines


def test_yaml_values_stay_as_the_author_wrote_them() -> None:
    text = "a: 1_0\nb: [x, 2024-01-01, 0x10, yes, ~, 1.10]\n---\nc: |\n  d\n"
    assert read_yaml(text) == [{"a": "1_0", "b": ["x", "2024-01-01", "0x10", True, None, "1.10"]}, {"c": "d\n"}]
    assert read_yaml("") == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases"),
        ("[" * 5000, "deeply"),
        ("{a: " * 100 + "1" + "}" * 100, "deeply"),
        ("a: !!python/object/apply:os.system [true]", "no YAML"),
        ("? [a]\n: b", "no YAML"),
        ("a:\t- b\n x", "line 1"),
        ("a: \0", "no YAML"),
        ("x" * (MAX_CHARACTERS + 1), "too large"),
    ],
)
def test_yaml_that_grows_runs_or_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        read_yaml(text)


def test_xml_elements_know_their_lines_and_lose_their_prefixes() -> None:
    top = read_xml('<?xml version="1.0"?>\n<a x="1" xsi:y="2" xmlns:xsi="urn:x">\n<b:c xmlns:b="urn:b">hi<d/> you</b:c>\n</a>')
    assert [(one.name, one.line, one.text.strip()) for one in top.walk()] == [("a", 2, ""), ("c", 3, "hi you"), ("d", 3, "")]
    assert top.attributes["y"] == "2"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;">]><a>&d;</a>', "entities"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "entities"),
        ("<a>&nbsp;</a>", "no XML"),
        ("<a>", "no XML"),
        ("", "no XML"),
        ("<a>" * (MAX_DEPTH + 1), "deeply"),
        ("<a>" + " " * MAX_CHARACTERS + "</a>", "too large"),
    ],
)
def test_xml_that_grows_or_reaches_out_is_refused(text: str, says: str) -> None:
    with pytest.raises(DocumentError, match=says):
        read_xml(text)


def test_json_is_bounded_too() -> None:
    assert read_json('{"a": [1, null]}') == {"a": [1, None]}
    with pytest.raises(DocumentError, match="no JSON"):
        read_json("{")
    with pytest.raises(DocumentError, match=r"deeply|no JSON"):
        read_json("[" * 200_000)


def test_an_error_never_quotes_the_document() -> None:
    for read in (read_yaml, read_xml, read_json):
        with pytest.raises(DocumentError) as raised:
            read("secret: {hunter2")
        assert "hunter2" not in str(raised.value)


def test_each_document_is_told_with_the_line_on_which_it_begins() -> None:
    assert read_yaml_with_lines("# a\n---\na: 1\n---\n\n- b\n") == [(3, {"a": "1"}), (6, ["b"])]
    assert read_yaml_with_lines("a: 1") == [(1, {"a": "1"})]
    assert read_yaml_with_lines("") == []
