import pytest
from rich.text import Text

from service.cli.render.tables import Listing, and_more
from tests.unit.service.cli.render.printing import printed

SPINNAKER = "spin:prod-k8s/checkout/deployment/checkout"


def rows(*cells: tuple[str, ...], below: str = "") -> Listing:
    listing = Listing("id", "target", "state", "says", below=below)
    for row in cells:
        listing.add_row(*row)
    return listing


def test_what_fits_stands_beside_each_other() -> None:
    shown = printed(rows(("op_1", "prod:a", "recovered", "it runs"), ("op_22", "prod:checkout", "refused", "")), columns=60)
    assert shown.splitlines() == [
        "id     target         state      says",
        "op_1   prod:a         recovered  it runs",
        "op_22  prod:checkout  refused",
    ]


def test_a_sentence_that_takes_fewer_lines_below_its_row_stands_there() -> None:
    says = "Release 1 dropped column orders.legacy_status, which release 0 may still read."
    shown = printed(rows(("op_1", "prod:orders-and-more-of-it", "not to be taken back", says), ("op_2", "prod:b", "pass", "")), columns=80)
    assert shown.splitlines() == [
        "id    target                      state",
        "op_1  prod:orders-and-more-of-it  not to be taken back",
        "    Release 1 dropped column orders.legacy_status, which release 0 may still",
        "    read.",
        "op_2  prod:b                      pass",
    ]


def test_a_sentence_of_many_lines_stays_beside_where_that_costs_no_more() -> None:
    says = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    lines = printed(rows(("op_1", "prod:a", "pass", says)), columns=70).splitlines()
    assert lines[0].endswith("says")
    assert lines[2].startswith(" " * 20)


def test_no_word_is_broken_where_there_is_room_for_it_below() -> None:
    shown = printed(rows(("op_1", "prod:orders", "no", "orders.legacy_status_of_everything is gone")), columns=40)
    assert "    orders.legacy_status_of_everything" in shown.splitlines()


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_nothing_is_wider_than_the_window_and_nothing_is_lost(columns: int) -> None:
    said = "recovered: 2 of 2 pods run the goal release's images and are ready; the SLI is 0.002"
    shown = printed(rows(("op_594e1d3d", SPINNAKER, "awaiting approval", said), ("op_2", "prod:a", "pass", ""), below="target"), columns=columns)
    assert max(map(len, shown.splitlines())) <= columns
    for word in ("op_594e1d3d", "awaiting approval", "op_2", "prod:a", *said.split()):
        assert word in shown
    assert SPINNAKER in "".join(shown.split())


def test_a_long_column_goes_below_before_anything_is_broken() -> None:
    lines = printed(rows(("op_1", SPINNAKER, "awaiting approval", "it waits"), below="target"), columns=60).splitlines()
    assert lines == ["id    state", "op_1  awaiting approval", f"    {SPINNAKER}", "    it waits"]


def test_a_line_end_in_a_short_cell_breaks_no_row_and_colour_stays() -> None:
    listing = Listing("a", "b", "c")
    listing.add_row("x\ny", Text("red one", style="red"), "z")
    assert printed(listing).splitlines() == ["a    b        c", "x y  red one  z"]
    assert "\x1b[31mred one" in printed(listing, color=True)


def test_nothing_ends_in_blanks() -> None:
    shown = printed(rows(("op_1", "prod:a", "pass", ""), ("op_2", "prod:bbbbbbb", "pass", "a b c")), columns=80)
    assert not [line for line in shown.splitlines() if line != line.rstrip()]


def test_that_there_are_more_is_said_below() -> None:
    listing = rows(("op_1", "prod:a", "pass", ""))
    assert "the newest 1; there are more: --all, or a larger --limit" in printed(and_more({"next_cursor": "x"}, listing))
    assert "there are more" not in printed(and_more({"next_cursor": None}, listing))
