import pytest

from service.cli import render
from service.cli.render.words import said
from tests.unit.service.cli.documents import NOW
from tests.unit.service.cli.render.printing import printed


def test_a_command_to_copy_is_never_broken() -> None:
    line = "backout approve op_3f2a9c1b --accept " + ",".join(["schema_is_compatible"] * 9)
    assert printed(render.command(line)) == line + "\n"
    assert line in printed(render.command(line), color=True)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_799, "47 h"), (172_800, "2 d"), (-300, "5 min")]
)
def test_a_length_of_time_has_one_unit(seconds: float, said: str) -> None:
    assert render.span_of(seconds) == said


def test_what_is_no_time_is_shown_as_it_came() -> None:
    assert render.ago("soon", NOW) == "soon"
    assert render.clock(None) == ""
    assert render.clock("2026-05-04T12:00:00") == "2026-05-04T12:00:00"
    assert render.ago("2026-05-05T12:01:11Z", NOW) == "in 24 h"


def test_what_is_due_is_rounded_and_what_is_over_counts_whole_units_only() -> None:
    assert render.ago("2026-05-11T12:01:00Z", NOW) == "in 7 d"
    assert render.ago("2026-04-27T12:01:12Z", NOW) == "6 d ago"


def test_colour_comes_only_on_a_terminal() -> None:
    assert "\x1b[" in printed(render.word("block"), color=True)
    assert printed(render.word("block")) == "block\n"


def test_a_sentence_has_the_beginning_of_each_digest_and_everything_else_as_it_is() -> None:
    digest = "sha256:" + "0123456789ab" + "c" * 52
    assert said(f"only it has r.example/shop@{digest}, and {digest}.") == "only it has r.example/shop@sha256:0123456789ab, and sha256:0123456789ab."
    assert said("sha256:0123456789ab") == "sha256:0123456789ab"
    assert said(f"{digest}0") == f"{digest}0"
    assert said(None) == ""
