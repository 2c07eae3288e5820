import pytest
import yaml

from service.cli.kit_text import is_address, quoted, with_comment


@pytest.mark.parametrize("value", ["plain", "a: b", "# no comment", 'it"s', "täglich", "{x}", "*"])
def test_what_is_quoted_is_read_back_as_it_was(value: str) -> None:
    assert yaml.safe_load(f"key: {quoted(value)}") == {"key": value}


def test_a_comment_stands_in_a_column_of_its_own_where_it_fits() -> None:
    assert with_comment("a: 1", "why").index("#") == with_comment("longer: 2", "why").index("#") == 46
    assert yaml.safe_load(with_comment("a: 1", "why")) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "required", "is_one"),
    [
        *(("https://a.example", True, True), ("http://a:8084/api", True, True), ("", False, True), ("", True, False), ("a.example", True, False)),
        *(("ftp://a", True, False), ("https://[::1", True, False), ("https://a b", True, False), ("https://a\nb", True, False)),
    ],
)
def test_an_address_is_of_http_and_on_one_line(value: str, required: bool, is_one: bool) -> None:
    assert is_address(value, required=required) is is_one
