"""A Helm repository as the sandbox reads it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integrations.sandbox.argocd.chart_repository import ChartsError, download, newest
from tests.contract.argocd.charts import ChartRepository, serving


@pytest.fixture
def charts(tmp_path: Path) -> Iterator[ChartRepository]:
    with serving(tmp_path / "charts") as repository:
        for version in ("1.2.3", "1.2.10", "1.10.0", "2.0.0"):
            repository.publish("shop", version, {"values.yaml": f"v: {version}", "templates/a.yaml": "a"})
        yield repository


@pytest.mark.parametrize(
    ("wanted", "found"), [("1.2.3", "1.2.3"), ("1.2.x", "1.2.10"), ("1.x", "1.10.0"), ("1.*", "1.10.0"), ("*", "2.0.0"), ("v1.2", "1.2.10")]
)
def test_the_newest_version_that_fits_is_meant(charts: ChartRepository, wanted: str, found: str) -> None:
    assert newest(charts.url, "shop", wanted) == found


def test_what_no_version_fits_is_an_error(charts: ChartRepository) -> None:
    with pytest.raises(ChartsError, match="unable to resolve version for chart 'shop'"):
        newest(charts.url, "shop", "3.x")
    with pytest.raises(ChartsError, match=r"'9\.9\.9' not found"):
        download(charts.url, "shop", "9.9.9")


def test_a_chart_comes_with_its_own_files(charts: ChartRepository) -> None:
    files = download(charts.url, "shop", "1.2.3")
    assert files.keys() == {"Chart.yaml", "values.yaml", "templates/a.yaml"}
    assert files["values.yaml"] == b"v: 1.2.3"


@pytest.mark.parametrize("url", ["https://charts.example.org", "file:///charts"])
def test_only_plain_http_is_read(url: str) -> None:
    with pytest.raises(ChartsError, match="over plain HTTP"):
        newest(url, "shop", "*")


def test_a_repository_that_is_away_or_has_no_index_is_an_error(charts: ChartRepository) -> None:
    with pytest.raises(ChartsError, match="404"):
        newest(f"{charts.url}/nowhere", "shop", "*")
    with pytest.raises(ChartsError, match="dial tcp"):
        newest("http://127.0.0.1:1", "shop", "*")
