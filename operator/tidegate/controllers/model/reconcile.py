"""A Model's reconcile: read once, decide once, apply what differs, write the status once."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from tidegate.api import names
from tidegate.api.meta import ObjectKey, duration
from tidegate.api.names import ConditionType
from tidegate.api.v1alpha1.model_status import ModelStatus
from tidegate.clients.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES
from tidegate.clients.sidecars import Target
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.model.desired import Sealed, desired
from tidegate.controllers.model.observe import observe
from tidegate.controllers.model.plan import Plan, plan
from tidegate.controllers.model.state import Observed, Pod, public_name
from tidegate.controllers.model.status import status
from tidegate.controllers.sampler import Wanted
from tidegate.errors import TerminalError
from tidegate.evidence.values import question_of
from tidegate.evidence.windows import SLOT_SECONDS, slot_of
from tidegate.rollout.analysis import metrics_of
from tidegate.traffic.signing import public_pem, seal

logger = logging.getLogger(__name__)

KEPT_SLOTS = 3600 // SLOT_SECONDS
POLL_SECONDS = 3.0  # in a rollout: a slot closes every ten seconds
QUIET_POLL_SECONDS = 60.0
POLLS_PER_DRIFT_WINDOW = 6
AGAIN_WHEN_REFUSED = timedelta(seconds=60)  # objects without our label have no watch


async def reconcile(key: ObjectKey, cluster: Cluster, now: datetime) -> timedelta | None:
    """Bring the Model's objects to what its spec asks for; when to look again at the latest."""
    model = cluster.model(key)
    if model is None or model.metadata.deletion_timestamp is not None:
        cluster.collector.forget(key)
        cluster.sampler.forget(key)
        cluster.looks.forget(key)
        cluster.metrics.forget(key.namespace, key.name)
        if cluster.decision_log is not None:
            cluster.decision_log.forget(key)
        return None  # owned objects go with their owner reference
    seen = await observe(key, model, cluster, now)
    step = plan(seen, now)
    sealed = _sealed(step, cluster)
    # The push comes before the write: a rollback must reach the pods while the API server fails.
    # A pod that starts in between reads the older document first, and gets the newer one by the
    # next push or from the ConfigMap. Should the write never come to pass, the next look sees
    # that pods are ahead of what is stored, and tells them anew.
    _follow(key, seen, step, sealed, cluster, now)
    _sample(key, seen, step, cluster)
    refused = await _apply(seen, step, sealed, cluster)
    await _tell(seen, step, cluster)
    written = status(seen, step, now, refused)
    _measure(seen, written, cluster)
    await cluster.apply_status(key, written)
    cluster.looks.done(key)
    if cluster.decision_log is not None:
        cluster.decision_log.offer(key, model.metadata, written.decisions, now)
    if refused is None:
        return step.requeue_after
    return min(step.requeue_after or AGAIN_WHEN_REFUSED, AGAIN_WHEN_REFUSED)


def _sealed(step: Plan, cluster: Cluster) -> Sealed | None:
    if step.routing is None:
        return None
    key = cluster.signing_key
    return Sealed(seal(step.routing.to_json(), key), public_pem(key))


async def _apply(
    seen: Observed, step: Plan, sealed: Sealed | None, cluster: Cluster
) -> TerminalError | None:
    """Make the objects so; why that is refused, if it is: then nothing is deleted either."""
    try:
        await cluster.apply(desired(seen.model, step, sealed, cluster.settings.image_pull_policy))
    except TerminalError as error:
        meta, told = seen.model.metadata, seen.model.status.condition(ConditionType.ACCEPTED)
        if told is None or told.message != str(error)[:1024]:
            logger.warning("%s/%s: %s: %s", meta.namespace, meta.name, error.reason, error)
        return error
    await _prune(seen, step, cluster)
    return None


async def _prune(seen: Observed, step: Plan, cluster: Cluster) -> None:
    """Delete the pods of revisions that are gone, and revisions beyond the history's limit.

    A Service goes after its pods: it tells where they are, and they tell their last requests.
    """
    uid = seen.model.metadata.uid
    live = {r.name for r in step.live}
    named = {p.revision for p in (*seen.pods, *seen.unready)} | {
        public_name(seen.model.metadata.name)
    }
    for resource, kept in ((DEPLOYMENTS, live), (SERVICES, live | named)):
        gone = [o for o in cluster.owned(uid, resource) if o["metadata"]["name"] not in kept]
        await cluster.delete(resource, gone)
    history = sorted(
        (o for o in cluster.owned(uid, CONTROLLER_REVISIONS) if o["metadata"]["name"] not in live),
        key=lambda o: int(o.get("revision", 0)),
    )
    surplus = len(history) - seen.model.spec.delivery.revision_history_limit
    await cluster.delete(CONTROLLER_REVISIONS, history[: max(surplus, 0)])


def _follow(
    key: ObjectKey,
    seen: Observed,
    step: Plan,
    sealed: Sealed | None,
    cluster: Cluster,
    now: datetime,
) -> None:
    """Tell the collector whom to ask, how often, and what to hand over."""
    every = QUIET_POLL_SECONDS
    if seen.drift_window_seconds is not None:
        every = min(every, max(seen.drift_window_seconds / POLLS_PER_DRIFT_WINDOW, POLL_SECONDS))
    if step.candidate is not None:
        every = POLL_SECONDS
    horizon = duration(seen.model.spec.monitoring.feedback.horizon)
    cluster.collector.follow(
        key,
        (*_targets(seen.pods, ready=True), *_targets(seen.unready, ready=False)),
        after=slot_of(now.timestamp()) - KEPT_SLOTS,
        labels_after=slot_of(now.timestamp() - horizon.total_seconds()) - KEPT_SLOTS,
        every=every,
        generation=step.routing.generation if step.routing else 0,
        envelope=sealed.envelope if sealed else None,
    )


def _sample(key: ObjectKey, seen: Observed, step: Plan, cluster: Cluster) -> None:
    """Have Prometheus asked about both revisions, while they are compared."""
    begun = step.rollout.evidence if step.rollout is not None else None
    if begun is None or step.stable is None or step.candidate is None:
        cluster.sampler.follow(key, Wanted(), after=0)
        return
    asked = (question_of(m) for m in metrics_of(seen.model.spec.delivery.analysis))
    questions = tuple({q.id: q for q in asked if q is not None}.values())
    revisions = (step.candidate.name, step.stable.name) if questions else ()
    cluster.sampler.follow(key, Wanted(questions, revisions), after=begun.after)


def _targets(pods: Iterable[Pod], *, ready: bool) -> Iterator[Target]:
    for pod in pods:
        yield Target(pod.uid, pod.at(names.CONTROL_PORT), pod.revision, ready, pod.ending)


async def _tell(seen: Observed, step: Plan, cluster: Cluster) -> None:
    """Each new decision as an Event and a count; before the status, which makes it old news."""
    meta = seen.model.metadata
    for decision in step.decisions:
        bad = decision.action in ("RollBack", "Hold")
        await cluster.event(
            seen.model,
            type="Warning" if bad else "Normal",
            reason=decision.reason,
            message=f"{decision.id}: {decision.action} {decision.revision}. {decision.message}",
        )
        cluster.metrics.decisions.labels(decision.action, decision.reason).inc()
        logger.info(
            "%s/%s %s: %s %s (%s)",
            meta.namespace,
            meta.name,
            decision.id,
            decision.action,
            decision.revision,
            decision.message,
        )


def _measure(seen: Observed, written: ModelStatus, cluster: Cluster) -> None:
    """Show the shares and how old the evidence is."""
    meta = seen.model.metadata
    live = (r for r in (written.stable, written.candidate) if r is not None)
    shares = {r.revision: r.weight for r in live}
    for name in seen.revisions:
        weight = cluster.metrics.rollout_weight
        if name in shares:
            weight.labels(meta.namespace, meta.name, name).set(shares[name])
        else:
            weight.remove(meta.namespace, meta.name, name)
    if seen.closed_through is not None:
        end = (seen.closed_through + 1) * SLOT_SECONDS
        # Told anew at each scrape: it grows while no pod answers, and nothing else wakes anybody.
        lag = cluster.metrics.evidence_lag.labels(meta.namespace, meta.name)
        lag.set_function(lambda: cluster.clock().timestamp() - end)
    cluster.metrics.evidence_told.labels(meta.namespace, meta.name).set(seen.told)
    cluster.metrics.evidence_skewed.labels(meta.namespace, meta.name).set(len(seen.skews))
    cluster.metrics.evidence_lost.labels(meta.namespace, meta.name).set(seen.lost)
    if seen.drift is None:  # an alarm of a policy that is gone would never end
        cluster.metrics.drift_level.remove(meta.namespace, meta.name)
