from typing import Any

import pytest

from integrations.sandbox.argocd.messages import ANY, ROLLBACK, SYNC, read
from integrations.sandbox.argocd.status import RefusedError

WRONG = [
    (b'{"id": 1.5}', "json: cannot unmarshal number 1.5 into Go struct field ApplicationRollbackRequest.id of type int64"),
    (b'{"id": true}', "json: cannot unmarshal bool into Go struct field ApplicationRollbackRequest.id of type int64"),
    (b'{"id": 1, "prune": "yes"}', "json: cannot unmarshal string into Go struct field ApplicationRollbackRequest.prune of type bool"),
    (b'"text"', "json: cannot unmarshal string into Go value of type application.ApplicationRollbackRequest"),
    (b'{"id": 1', "unexpected EOF"),
    (b'{"id" 1}', "invalid character '1' after object key"),
    (b'{"id": 1 "x": 2}', "invalid character '\"' after object key:value pair"),
    (b'{"id": x}', "invalid character 'x' looking for beginning of value"),
    (b'{"id": 1} x', "invalid character 'x' after top-level value"),
]


@pytest.mark.parametrize(("raw", "words"), WRONG)
def test_a_wrong_body_is_refused_in_gos_words(raw: bytes, words: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read(raw, ROLLBACK)

    assert (caught.value.code, caught.value.message) == (3, words)


GOOD: list[tuple[bytes, dict[str, Any]]] = [
    (b'{"ID": 7, "DryRun": true, "unknown": 1}', {"id": 7, "dryRun": True}),
    (b'{"id": 0, "prune": null}', {"id": 0}),
]


@pytest.mark.parametrize(("raw", "message"), GOOD)
def test_keys_match_in_any_case_and_unknown_ones_are_ignored(raw: bytes, message: dict[str, Any]) -> None:
    assert read(raw, ROLLBACK) == message


def test_a_message_without_a_schema_comes_as_it_is() -> None:
    assert read(b'{"Spec": {"x": null}}', ANY) == {"Spec": {"x": None}}
    assert read(b"", SYNC) == {}


def test_list_entries_are_checked_too() -> None:
    with pytest.raises(RefusedError, match="of type int64"):
        read(b'{"sourcePositions": [1, "2"]}', SYNC)
    assert read(b'{"sourcePositions": [1, 2]}', SYNC) == {"sourcePositions": [1, 2]}
