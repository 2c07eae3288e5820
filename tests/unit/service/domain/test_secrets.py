import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import secrets
from service.domain.secrets import REMOVED, clear, without_secrets


@pytest.mark.parametrize(
    "text",
    [
        "registry.example/shop/web@sha256:9f86d081884c7d65",
        "oci://registry.example/shop/web@sha256:9f86d081884c7d65",
        "ssh://git@git.example/shop/orders.git",
        "git@git.example:shop/orders.git",
        "https://argocd.example/applications/argocd/checkout?view=tree",
        "the bearer of it all was not told",
        "ask bob@example.com",
        "permission denied: applications, update, billing/*, sub: backout",
        "token expired",
        "12:00:01 // a@b",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert clear(text) == (text, 0)


@pytest.mark.timeout(30)  # quadratic patterns would take minutes
@pytest.mark.parametrize("text", ["a" * 400_000, "a+" * 200_000, "https://" * 50_000, "bearer " * 60_000, "authorization " * 30_000, "-----BEGIN " * 40_000])
def test_looking_for_secrets_in_a_long_value_ends(text: str) -> None:
    cleared, removed = clear(text)
    assert (cleared == text) == (removed == 0)


def test_promise_12_a_secret_is_found_wherever_it_stands_in_a_body() -> None:
    body = {"says": "password=hunter22 failed", "more": [{"url": "https://bob:hunter22@argocd.example"}, 7, None, True], "plain": ("a", "b")}
    assert without_secrets(body) == {"says": "[removed] failed", "more": [{"url": "[removed]"}, 7, None, True], "plain": ["a", "b"]}


PARTS = (
    *("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "https://bob:hunter22@host/x", "://", "authorization", ": Basic aGFsbG8=", "bearer "),
    *("abcdef.ghi", "eyJhbGciOiJIUzI1NiJ9.e30.x", "ghp_0123456789abcdef01", "GHS_0123456789abcdef01", "github_pat_0123456789abcdef", "glpat-0123456789abcdef"),
    *("xoxb-0123456789abcdef01", "sk-0123456789abcdef", "AKIA0123456789abcdef", "password=", "passwd=", "secret=", "token=", "api_key=", "APIKEY=", "hunter22"),
    *("a plain word", " ", "=", "@", "author\u0131zation: x", "pa\u017f\u017fword=hunter22", "\u212aIA0123456789ABCDEF", "\u2192 "),
)


@given(st.lists(st.one_of(st.sampled_from(PARTS), st.sampled_from(PARTS).map(str.upper), st.text(max_size=4)), max_size=6).map("".join))
def test_promise_12_to_look_for_signs_first_misses_no_secret(text: str) -> None:
    assert clear(text) == secrets._SECRETS.subn(REMOVED, text)  # noqa: SLF001  the pattern alone, which is the judge
