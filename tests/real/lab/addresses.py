"""Where each server of the lab listens: one fixed loopback port per listener.

Fixed ports are safe because the lab normally runs in a network namespace of its own; on the host's loopback `taken`
tells beforehand which ones are in use.
"""

import socket
from enum import IntEnum

LOOPBACK = "127.0.0.1"


class Port(IntEnum):
    """A listener of the lab; the value is its TCP port."""

    JAEGER_OTLP_GRPC = 4317
    JAEGER_OTLP_HTTP = 4318
    JAEGER_QUERY_GRPC = 16685
    JAEGER_QUERY = 16686
    ETCD = 19001
    ETCD_PEER = 19002
    KUBE_API = 19003
    KUBE_CONTROLLERS = 19004
    REDIS = 19010
    ARGOCD = 19011
    ARGOCD_METRICS = 19012
    REPO_SERVER = 19013
    REPO_SERVER_METRICS = 19014
    CONTROLLER_METRICS = 19015
    APPLICATIONSET_METRICS = 19016
    APPLICATIONSET_PROBE = 19017
    APPLICATIONSET_WEBHOOK = 19018
    ROLLOUTS_METRICS = 19019
    REGISTRY = 19020
    PROMETHEUS = 19021
    ALERTMANAGER = 19022
    TRAFFIC = 19023
    ROLLOUTS_HEALTH = 19024
    WEBHOOK = 19030

    @property
    def at(self) -> str:
        """`host:port`."""
        return f"{LOOPBACK}:{self.value}"

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return f"http://{self.at}"


# Nobody in the lab listens here: it is where Alertmanager posts, and the service under test (or a test) opens it.
OPENED_BY_TESTS = frozenset({Port.WEBHOOK})


def taken() -> list[Port]:
    """The lab's ports that something listens on already."""
    found = []
    for port in Port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                found.append(port)
    return found
