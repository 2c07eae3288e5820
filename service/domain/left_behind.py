"""What an object does that stays behind when its release is left: whether it goes on working, may hold data, or is idle. Pure, by its kind alone."""

from enum import StrEnum

from service.domain.model import ObjectRef

HOLDS_DATA = frozenset(
    {
        ("", "PersistentVolumeClaim"),
        ("", "PersistentVolume"),
        ("", "Namespace"),
        ("", "Secret"),
        ("apps", "StatefulSet"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("snapshot.storage.k8s.io", "VolumeSnapshot"),
        ("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
        ("bitnami.com", "SealedSecret"),
        ("external-secrets.io", "ExternalSecret"),
        ("external-secrets.io", "PushSecret"),
        ("cert-manager.io", "Certificate"),
    }
)
DATABASE_GROUPS = frozenset(
    {
        "acid.zalan.do",
        "postgresql.cnpg.io",
        "postgres-operator.crunchydata.com",
        "mysql.oracle.com",
        "k8s.mariadb.com",
        "pxc.percona.com",
        "psmdb.percona.com",
        "pgv2.percona.com",
        "mongodbcommunity.mongodb.com",
        "kafka.strimzi.io",
        "rabbitmq.com",
        "redis.redis.opstreelabs.in",
        "databases.spotahome.com",
        "elasticsearch.k8s.elastic.co",
        "cassandra.datastax.com",
        "clickhouse.altinity.com",
        "minio.min.io",
        "rds.services.k8s.aws",
        "dynamodb.services.k8s.aws",
        "s3.services.k8s.aws",
        "sql.cnrm.cloud.google.com",
    }
)
HARMLESS = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("", "Pod"),
        ("", "LimitRange"),
        ("", "ResourceQuota"),
        ("apps", "Deployment"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("argoproj.io", "Rollout"),
        ("argoproj.io", "AnalysisTemplate"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("monitoring.coreos.com", "PodMonitor"),
        ("monitoring.coreos.com", "PrometheusRule"),
        ("monitoring.coreos.com", "ServiceMonitor"),
        ("networking.k8s.io", "Ingress"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("policy", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io", "ClusterRole"),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io", "Role"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
    }
)
"""Kinds that hold no data of their own: deleting one loses what Git still has. A kind in none of these sets is unknown, never harmless."""

WORKS_ON = frozenset(
    {
        ("", "Pod"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("argoproj.io", "CronWorkflow"),
        ("argoproj.io", "Rollout"),
        ("argoproj.io", "Workflow"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("keda.sh", "ScaledJob"),
        ("keda.sh", "ScaledObject"),
        ("serving.knative.dev", "Service"),
    }
)
"""Kinds that go on working when they stay behind: jobs, schedules, consumers, and what scales the pods of the release that we go back to."""


class Nature(StrEnum):
    """What it means that an object stays; the most urgent first. `strange`: nobody here knows the kind, so nothing is taken for granted."""

    WORKS = "works"
    DATA = "data"
    STRANGE = "strange"
    IDLE = "idle"


def kind_of(one: ObjectRef) -> tuple[str, str]:
    """Group and kind."""
    return one.group, one.kind


def holds_data(one: ObjectRef) -> bool:
    """Whether deleting it may lose what nothing else has."""
    return kind_of(one) in HOLDS_DATA or one.group in DATABASE_GROUPS


def nature(one: ObjectRef) -> Nature:
    """By its kind. What works on and holds data (a StatefulSet) works on first: it has to rest, and its volumes stay."""
    if kind_of(one) in WORKS_ON:
        return Nature.WORKS
    if holds_data(one):
        return Nature.DATA
    return Nature.IDLE if kind_of(one) in HARMLESS else Nature.STRANGE
