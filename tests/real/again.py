"""The second try: which tests of the real suite may run once more, alone, and what is told of one that passes then (docs/decisions/0042). Pure."""

from collections.abc import Sequence

from tests.real.outcomes import Failure, Session

AT_MOST = 4
"""More failures than this are no bad luck."""
FAILED = 1
"""Pytest's exit code where tests failed, and nothing else is wrong."""
WITHOUT_FAILURE = frozenset({0, 5})
"""Pytest's exit codes where all passed, or there was nothing to run."""


def once_more(codes: Sequence[int], sessions: Sequence[Session | None]) -> tuple[tuple[Failure, ...], str]:
    """The tests that run once more; where there are none though something failed, why not. `codes`: of the labs, `sessions`: of pytest in each of them."""
    if all(code in WITHOUT_FAILURE for code in codes):
        return (), ""
    found: list[Failure] = []
    for number, (code, session) in enumerate(zip(codes, sessions, strict=True), start=1):
        if session is None or session.code != code or code not in {FAILED, *WITHOUT_FAILURE}:
            return (), f"lab {number} did not end as a lab does in which only tests fail"
        if not session.whole:
            return (), f"lab {number} left tests out"
        if code == FAILED and not session.failures:
            return (), f"lab {number} failed, and no test of it did"
        found += session.failures
    if len(found) > AT_MOST:
        return (), f"{len(found)} tests failed, more than {AT_MOST}"
    return tuple(found), ""


def unsteady(tried: Sequence[Failure], code: int, session: Session | None) -> tuple[Failure, ...]:
    """Those of them that passed alone; none where the lab of the second try did not end as it should."""
    if session is None or session.code != code or code not in {0, FAILED}:
        return ()
    return tuple(one for one in tried if one.test in session.passed)


def told(found: Sequence[Failure]) -> str:
    """The block that nobody overlooks; "" where nothing is unsteady."""
    if not found:
        return ""
    lines = [line for one in found for line in (f"  {one.test}", f"      {one.says}")]
    return "\n".join(
        [
            "",
            f"{' UNSTEADY: failed beside others, passed alone ':!^120}",
            *lines,
            "A race in the product looks just like this. Each has to be looked into before the next release: docs/decisions/0042.",
            "!" * 120,
            "",
        ]
    )


def closing(code: int, found: Sequence[Failure]) -> str:
    """The run's last line."""
    word = "passed" if code == 0 else "nothing to run" if code in WITHOUT_FAILURE else f"FAILED ({code})"
    return f"the real suite: {word}, {len(found)} unsteady"
