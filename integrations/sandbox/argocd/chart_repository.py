"""Reads a Helm repository over HTTP: which version of a chart is meant, and what is packed in it.

On the event loop, as Git is read: what is asked answers from this machine and at once, or not at all.
"""

import http.client
import io
import re
import tarfile
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import yaml

_WAIT_S: Final = 5
_EXACT: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class ChartsError(Exception):
    """Why there is no such chart, in Argo CD's words where they are known."""


def newest(url: str, chart: str, wanted: str) -> str:
    """The version that `1.2.3`, `1.2.x`, `1.x`, `1.*` or `*` means now: the newest of those that fit."""
    parts = [] if wanted in {"*", ""} else [part for part in wanted.removeprefix("v").split(".") if part not in {"x", "*"}]
    fits = [version for version in _index(url, chart) if _numbers(version)[: len(parts)] == tuple(parts)]
    if not fits:
        raise ChartsError(f"unable to resolve version for chart {chart!r}: version matching constraint not found in the index: {wanted}")
    return max(fits, key=lambda version: tuple(map(int, _numbers(version))))


def download(url: str, chart: str, version: str) -> dict[str, bytes]:
    """The files of the chart, by their path in it."""
    about = _index(url, chart).get(version)
    if about is None:
        raise ChartsError(f"`helm pull` failed exit status 1: Error: chart {chart!r} version {version!r} not found in {url} repository")
    packed = _get(urljoin(f"{url.rstrip('/')}/", about["urls"][0]))
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        read = ((member.name, archive.extractfile(member)) for member in archive.getmembers() if member.isfile())
        return {name.partition("/")[2]: file.read() for name, file in read if file is not None}


def _index(url: str, chart: str) -> dict[str, Any]:
    index = yaml.safe_load(_get(f"{url.rstrip('/')}/index.yaml"))
    return {entry["version"]: entry for entry in index["entries"].get(chart) or () if _EXACT.fullmatch(entry["version"])}


def _numbers(version: str) -> tuple[str, ...]:
    return tuple(version.removeprefix("v").split("."))


def _get(url: str) -> bytes:
    where = urlsplit(url)
    if where.scheme != "http" or where.hostname is None:
        raise ChartsError(f"the sandbox reads charts over plain HTTP, not from {url}")
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=_WAIT_S)
    try:
        connection.request("GET", where.path)
        response = connection.getresponse()
        body = response.read()
    except OSError as error:
        raise ChartsError(f'Get "{url}": dial tcp {where.netloc}: {error}') from error
    finally:
        connection.close()
    if response.status != 200:
        raise ChartsError(f"failed to get {url}: {response.status}")
    return body
