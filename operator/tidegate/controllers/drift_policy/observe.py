"""Read everything about a DriftPolicy and the Models that it watches."""

import json
from collections.abc import Iterable, Iterator

from tidegate.api import names
from tidegate.api.meta import ObjectKey, parse_timestamp
from tidegate.api.v1alpha1.drift_policy import DriftPolicy, policy_of
from tidegate.api.v1alpha1.model import Model
from tidegate.api.v1alpha1.training_job import TrainingJob
from tidegate.clients.resources import CONFIG_MAPS
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.drift_policy.state import (
    HOURS_FILE,
    Observed,
    Run,
    Watched,
    hours_name,
)
from tidegate.rollout.drift import Current
from tidegate.rollout.season import Learned


def observe(policy: DriftPolicy, cluster: Cluster) -> Observed:
    """The policy with the Models that it watches and what their pods have counted."""
    namespace = policy.metadata.namespace
    jobs = cluster.training_jobs(namespace)
    policies = cluster.drift_policies(namespace)
    models = (
        m
        for m in cluster.models(namespace)
        if m.metadata.deletion_timestamp is None and _chooses(m, policies, policy)
    )
    return Observed(policy, tuple(_watched(policy, m, jobs, cluster) for m in models))


def _chooses(model: Model, policies: Iterable[DriftPolicy], policy: DriftPolicy) -> bool:
    chosen = policy_of(model, policies)
    return chosen is not None and chosen.metadata.name == policy.metadata.name


def _watched(
    policy: DriftPolicy, model: Model, jobs: Iterable[TrainingJob], cluster: Cluster
) -> Watched:
    meta = model.metadata
    gathered = cluster.collector.gathered(ObjectKey(names.MODEL, meta.namespace, meta.name))
    runs = tuple(_runs(policy, model, jobs))
    if model.spec.serving.protocol == "GRPC":
        return Watched(model, None, "serving.protocol is GRPC, so nothing is counted.", runs)
    stable = model.status.stable.revision if model.status.stable else None
    if stable is None or gathered.closed_through is None:
        return Watched(model, None, "No pod has reported yet.", runs)
    profile = gathered.profiles.get(stable)
    if profile is None:
        return Watched(model, None, f"{stable} has no reference profile (profile.json).", runs)
    current = Current(stable, profile, gathered.windows, gathered.labels, gathered.closed_through)
    return Watched(model, current, runs=runs, learned=_learned(model, cluster))


def _learned(model: Model, cluster: Cluster) -> Learned | None:
    """What the ConfigMap keeps; None if there is none, or it is damaged: it is learned anew."""
    meta = model.metadata
    kept = cluster.get(CONFIG_MAPS, meta.namespace, hours_name(meta.name)) or {}
    try:
        return Learned.from_json(json.loads(kept["data"][HOURS_FILE]))
    except (LookupError, TypeError, ValueError):
        return None


def _runs(policy: DriftPolicy, model: Model, jobs: Iterable[TrainingJob]) -> Iterator[Run]:
    for job in jobs:
        if job.spec.model_ref is None or job.spec.model_ref.name != model.metadata.name:
            continue
        yield Run(
            name=job.metadata.name,
            created=parse_timestamp(job.metadata.creation_timestamp),
            finished=job.status.finished,
            by_this_policy=job.metadata.labels.get(names.LABEL_POLICY)
            == names.child_name(policy.metadata.name),
        )
