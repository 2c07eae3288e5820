"""A Helm repository over HTTP: an index and packed charts, as a team's chart server has them. Its versions can be published again with other content."""

import functools
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PUBLISHED = "2026-01-02T03:04:05Z"


class ChartRepository:
    """A folder that `serving` shows under `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder
        self._entries: dict[str, dict[str, Any]] = {}

    def publish(self, chart: str, version: str, files: Mapping[str, str]) -> None:
        """Pack the chart (`files` by their path in it, without Chart.yaml) under that version, in the place of what was there."""
        about = {"apiVersion": "v2", "name": chart, "version": version}
        packed = f"{chart}-{version}.tgz"
        with tarfile.open(self._folder / packed, "w:gz") as archive:
            for name, text in ({"Chart.yaml": json.dumps(about)} | dict(files)).items():
                member = tarfile.TarInfo(f"{chart}/{name}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        self._entries.setdefault(chart, {})[version] = about | {"urls": [packed], "created": PUBLISHED}
        index = {"apiVersion": "v1", "entries": {name: list(versions.values()) for name, versions in self._entries.items()}}
        (self._folder / "index.yaml").write_text(json.dumps(index))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[ChartRepository]:
    """A repository in that new folder, on a free port of the loopback, from a thread of its own: the server under test may share our event loop."""
    folder.mkdir(parents=True)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield ChartRepository(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
