"""Ports that a server may come back to."""

import socket
from pathlib import Path

import pytest

from integrations.sandbox import ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_spare_port_can_be_listened_on() -> None:
    with socket.create_server((ports.HOST, ports.spare_port())) as one:
        assert one.getsockname()[0] == ports.HOST


def test_a_spare_port_is_never_one_that_an_outgoing_connection_may_be_given() -> None:
    lowest = ports.lowest_ephemeral()
    assert all(ports.LOWEST <= ports.spare_port() < lowest for _ in range(300))


def test_a_port_somebody_listens_on_is_not_spare() -> None:
    port = ports.spare_port()
    assert ports.is_free(port)
    with socket.create_server((ports.HOST, port)):
        assert not ports.is_free(port)


@pytest.mark.parametrize(
    ("told", "lowest"),
    [("32768\t60999\n", 32_768), ("49152 65535", 49_152), ("1024\t65000\n", 32_768), ("", 32_768), ("soon\n", 32_768)],
)
def test_the_range_of_outgoing_connections_is_what_the_system_says_and_the_default_otherwise(tmp_path: Path, told: str, lowest: int) -> None:
    file = tmp_path / "range"
    file.write_text(told, encoding="ascii")
    assert ports.lowest_ephemeral(file) == lowest


def test_where_the_system_does_not_tell_its_range_the_default_is_taken(tmp_path: Path) -> None:
    assert ports.lowest_ephemeral(tmp_path / "nothing") == 32_768


def test_an_error_says_that_no_portis_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(OSError, match="no free port was found"):
        ports.spare_port()
