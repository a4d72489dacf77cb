"""The operator: composition root and entry point. `python -m tidegate.controllers`"""

import asyncio
import gc
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import kopf
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tidegate.api.meta import ObjectKey
from tidegate.api.names import (
    DRIFT_POLICY,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    MODEL,
    TRAINING_JOB,
)
from tidegate.clients.kube import Credentials, Kube, configuration
from tidegate.clients.log_store import LogStore
from tidegate.clients.prometheus import Prometheus, Server
from tidegate.clients.reflector import Reflector
from tidegate.clients.refusals import sentence
from tidegate.clients.resources import CHILDREN, CUSTOM
from tidegate.clients.sidecars import Sidecars
from tidegate.controllers import crds, namespaces
from tidegate.controllers.cluster import Cluster
from tidegate.controllers.collector import Collector
from tidegate.controllers.decision_log import DecisionLog
from tidegate.controllers.drift_policy import handlers as drift_policy_handlers
from tidegate.controllers.drift_policy.reconcile import reconcile as reconcile_drift_policy
from tidegate.controllers.export import Export
from tidegate.controllers.health import Health
from tidegate.controllers.inbox import Inbox
from tidegate.controllers.leader import Leadership
from tidegate.controllers.looks import Looks
from tidegate.controllers.metrics import Metrics
from tidegate.controllers.model import handlers as model_handlers
from tidegate.controllers.model.reconcile import reconcile as reconcile_model
from tidegate.controllers.sampler import Sampler
from tidegate.controllers.store import Store
from tidegate.controllers.sweep import Place, Sweep
from tidegate.controllers.training_job import handlers as training_job_handlers
from tidegate.controllers.training_job.reconcile import reconcile as reconcile_training_job
from tidegate.controllers.workqueue import WorkQueue
from tidegate.errors import TerminalError, TransientError
from tidegate.settings import Settings

logger = logging.getLogger("tidegate")

Reconcile = Callable[[ObjectKey, Cluster, datetime], Awaitable[timedelta | None]]
RECONCILES: dict[str, Reconcile] = {
    MODEL: reconcile_model,
    TRAINING_JOB: reconcile_training_job,
    DRIFT_POLICY: reconcile_drift_policy,
}
# What pods report is thousands of short lists, and nothing in it refers to itself: to search it for
# garbage after each 700 objects, as Python does by itself, took a fifth of the time of reading it.
GARBAGE_AFTER = 20_000
STUCK_SECONDS = 900.0  # every call has a timeout: a key that waits longer waits for a bug


class Operator:
    """What one replica does, from the start to the end of the process."""

    def __init__(
        self,
        settings: Settings,
        key: Ed25519PrivateKey,
        kube: Kube,
        metrics: Metrics,
        log: DecisionLog | None = None,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._metrics = metrics
        self._log = log
        self._sidecars = Sidecars(key, time.time)
        spaces = settings.watch_namespaces or (None,)
        ours = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
        self._places: tuple[Place, ...] = (
            *((resource, space, "") for resource in CUSTOM for space in spaces),
            *((resource, space, ours) for resource in CHILDREN for space in spaces),
        )
        clock = asyncio.get_running_loop().time
        self._store = Store((resource, space) for resource, space, _ in self._places)
        self._queue = WorkQueue(clock, random.random)
        self._inbox = Inbox(self._store, self._queue)
        self._collector = Collector(self._sidecars, clock, self._queue.add, logger.warning)
        self._sampler = Sampler(
            _prometheus(settings),
            time.time,
            self._queue.add,
            logger.warning,
            metrics.questioned,
        )
        self._cluster = Cluster(
            settings,
            kube,
            self._store,
            self._collector,
            key,
            metrics,
            lambda: datetime.now(UTC),
            self._inbox.put,
            self._sampler,
            log,
            self._inbox.remove,
            Looks(clock),
        )
        self._leadership = Leadership(
            kube, settings.namespace, settings.pod_name, lambda: datetime.now(UTC)
        )
        self._export = Export(
            self._collector, self._sampler, lambda: self._leadership.renewed_at is not None
        )
        self._health = Health(metrics, self._wrong_with_life, self._wrong_with_readiness)
        metrics.follow(self._queue)
        if log is not None:
            metrics.follow_log(log)

    async def run(self, stop: asyncio.Event) -> int:
        """Wait for the lead, lead until `stop`, let go of it; the process's exit code."""
        await self._health.start(self._settings.http_port)
        await self._export.start(self._settings.evidence_port)
        try:
            await _first(self._leadership.acquire(), stop.wait())
            if not stop.is_set():
                self._metrics.leader.set(1)
                await _first(stop.wait(), self._hold(), self._lead(stop))
            return 0 if stop.is_set() else 1
        finally:
            await self._leadership.release()
            await self._collector.close()
            await self._sampler.close()
            await self._sidecars.close()
            await self._health.close()
            await self._export.close()

    async def _lead(self, stop: asyncio.Event) -> None:
        """All the work, until one of its parts ends, which none of them should."""
        await crds.installed(self._kube)
        closed = await namespaces.closed(self._kube, self._settings.watch_namespaces)
        for space in closed:
            self._store.give_up(space)
        places = tuple(place for place in self._places if place[1] not in closed)
        sweep = Sweep(self._kube, places, self._inbox, self._store, self._queue)
        reflectors = [
            Reflector(self._kube, resource, space, labels, self._inbox).run()
            for resource, space, labels in places
            if resource not in CUSTOM
        ]
        await _first(
            *reflectors,
            self._sweep(sweep),
            self._work(),
            self._watch(stop, [s for s in self._settings.watch_namespaces if s not in closed]),
            *([namespaces.reopened(self._kube, closed)] if closed else []),
            *([self._log.run()] if self._log is not None else []),
        )

    async def _hold(self) -> NoReturn:
        await self._leadership.hold()
        # Somebody else may lead already: a graceful end would be the end of being alone.
        os._exit(1)

    async def _sweep(self, sweep: Sweep) -> None:
        await sweep.load()
        await sweep.run()

    async def _work(self) -> None:
        # Before everything has been listed, what is missing and what is not known look the same.
        await self._store.wait_synced()
        logger.info("everything is listed: %d workers start", self._settings.workers)
        await self._queue.run(self._settings.workers, self._handle)

    async def _handle(self, key: ObjectKey) -> timedelta | None:
        """One reconcile; whatever goes wrong in it is tried again and never stops the operator."""
        again, result = None, "ok"
        began = time.perf_counter()
        try:
            again = await RECONCILES[key.kind](key, self._cluster, datetime.now(UTC))
            self._queue.forget(key)
        except TransientError as error:
            result = "transient"
            logger.warning("%s: %s", key, error)
            self._queue.failed(key, error.retry_after)
        except TerminalError as error:
            # Trying again changes nothing by itself; a change or the sweep comes back to it.
            result = "terminal"
            logger.error("%s: %s: %s", key, error.reason, error)  # noqa: TRY400 - no bug of ours
            self._queue.forget(key)
            await self._cluster.complain(key, error)
        except Exception:
            result = "bug"
            logger.exception("%s: the reconcile failed", key)
            self._queue.failed(key)
        self._metrics.reconciles.labels(key.kind, result).inc()
        self._metrics.reconcile_seconds.labels(key.kind).observe(time.perf_counter() - began)
        return again

    async def _watch(self, stop: asyncio.Event, spaces: list[str]) -> None:
        """Kopf watches the custom resources: by `on.event` only, which writes nothing to them."""
        await self._store.wait_synced()
        registry = kopf.OperatorRegistry()
        for handlers in (model_handlers, training_job_handlers, drift_policy_handlers):
            handlers.register(registry, self._inbox)

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.ConnectionInfo:
            found = Credentials.of(await configuration(self._settings.kubeconfig))
            return kopf.ConnectionInfo(
                server=found.server,
                ca_path=found.ca_path,
                insecure=found.insecure,
                certificate_path=found.certificate_path,
                private_key_path=found.private_key_path,
                scheme="Bearer" if found.token else None,
                token=found.token,
            )

        existing = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registry,
            settings=_kopf_settings(),
            # Else kopf asks for the user's name, and the uid of a pod has none.
            identity=self._settings.pod_name,  # type: ignore[arg-type] # its type is not exported
            namespaces=spaces,
            clusterwide=not spaces,
        )
        _stop_on_signals(stop)  # kopf has put its own handlers in their place
        try:
            await kopf.run_tasks(tasks, ignored=existing)
        except Exception as error:
            status = getattr(error, "status", None)  # kopf does not export its errors of the API
            if status is None:
                raise
            words = str(error.args[0] if error.args else "")
            told = sentence("watch the custom resources", None, int(status), words)
            raise TerminalError("WatchRefused", told) from error

    def _wrong_with_life(self) -> str | None:
        if self._leadership.renewed_at is None or not self._store.synced:
            return None
        if self._queue.workers < self._settings.workers:
            return f"{self._queue.workers} of {self._settings.workers} workers are at it"
        if self._queue.oldest_seconds > STUCK_SECONDS:
            return f"an object has been waiting for {self._queue.oldest_seconds:.0f} s"
        return None

    def _wrong_with_readiness(self) -> str | None:
        if self._leadership.renewed_at is not None and not self._store.synced:
            return "the first lists are not in yet"
        return None  # a standby is ready to take over


def _prometheus(settings: Settings) -> Prometheus | None:
    """The server that the settings name."""
    if not settings.prometheus_url:
        return None
    return Prometheus(
        Server(settings.prometheus_url, settings.prometheus_token_file, settings.prometheus_ca_file)
    )


def _signing_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise TerminalError(
            "InvalidSettings",
            f"TIDEGATE_SIGNING_KEY: {path} must hold an Ed25519 key in PEM, "
            "as `openssl genpkey -algorithm ed25519` makes it",
        )
    return key


def _decision_log(
    settings: Settings, session: aiohttp.ClientSession, metrics: Metrics
) -> DecisionLog | None:
    """The log that the settings ask for."""
    if not settings.decisions_uri:
        return None
    store = LogStore.from_environment(
        settings.decisions_uri, os.environ, session, lambda: datetime.now(UTC)
    )
    return DecisionLog(store, metrics.logged)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # the Lease decides who works
    settings.scanning.disabled = True  # no reading of namespaces and CRDs: fewer rights
    settings.posting.enabled = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 75  # bookmarks come each minute
    settings.watching.chunk_size = 500
    settings.queueing.exit_timeout = 1
    settings.process.ultimate_exiting_timeout = 20
    return settings


async def _first(*parts: Coroutine[Any, Any, object]) -> None:
    """Run the parts until one ends, end the others, and raise what the first one raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


async def _main(settings: Settings) -> int:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    key = _signing_key(settings.signing_key)
    metrics = Metrics()
    kube = Kube(await configuration(settings.kubeconfig), metrics.asked)
    async with aiohttp.ClientSession() as session:
        try:
            log = _decision_log(settings, session, metrics)
            return await Operator(settings, key, kube, metrics, log).run(stop)
        finally:
            await kube.close()


def main() -> int:
    """Run the operator until it is told to stop."""
    try:
        settings = Settings.from_environment(os.environ)
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        logging.getLogger("kopf").setLevel(logging.WARNING)
        gc.set_threshold(GARBAGE_AFTER)
        return asyncio.run(_main(settings))
    except TerminalError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
