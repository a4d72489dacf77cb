"""A Model that speaks gRPC: its Service answers, and no call fails while a version takes over."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from hack.demo.world import tables
from tests.e2e.load import TARGET
from tests.e2e.objects import model
from tests.e2e.place import Place, eventually
from tests.e2e.scenes import decided, revision, served
from tests.integration.apiserver import Manifest

from tidegate.api.names import METRICS_PORT
from tidegate.runtime.serve.messages import SERVICE, message_types

MODEL = "callers"
CLIENTS = 4
PAUSE_SECONDS = 0.05  # between two calls of a client


@dataclass(slots=True)
class Calls:
    """What clients got who ask about one tumour; nothing is asked twice."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    """When, and with what probability it is malignant: two models say two numbers."""
    failures: list[str] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def newest(self, seconds: float) -> set[float]:
        since = time.monotonic() - seconds
        return {said for at, said in list(self.answers) if at >= since}


def request() -> bytes:
    types = message_types()
    row = next(tables.held_out().drop(columns=TARGET).itertuples(index=False))
    made = types["ModelInferRequest"](model_name=MODEL)
    values = types["InferTensorContents"](fp64_contents=row)
    made.inputs.add(name="rows", datatype="FP64", shape=[1, len(row)], contents=values)
    raw: bytes = made.SerializeToString()
    return raw


def call(address: str, calls: Calls) -> None:
    """Be one client, with a connection of its own."""
    answer, body = message_types()["ModelInferResponse"], request()
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(address, options=options) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        while not calls.ending.wait(PAUSE_SECONDS):
            try:
                _, probabilities = answer.FromString(infer(body, timeout=10)).outputs
            except grpc.RpcError as error:
                calls.failures.append(f"{time.time():.1f} {error.code()}: {error.details()}")
            else:
                said = probabilities.contents.fp64_contents[1]
                calls.answers.append((time.monotonic(), said))


@contextmanager
def calling(address: str) -> Iterator[Calls]:
    """Clients that call while the block runs."""
    calls = Calls()
    threads = [threading.Thread(target=call, args=(address, calls)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        calls.ending.set()
        for thread in threads:
            thread.join()


def manifest(artifact: Manifest) -> Manifest:
    delivery = {"strategy": {"immediate": {}}, "keepPreviousWarm": "5s"}
    made = model(MODEL, artifact, delivery, monitoring={"feedback": {}})
    made["spec"]["serving"]["protocol"] = "GRPC"
    return made


def test_no_call_fails_while_a_new_version_takes_over(
    delivery: Place, artifacts: dict[str, Manifest]
) -> None:
    place = delivery
    candidate = revision(MODEL, artifacts["regression"])
    with served(place, manifest(artifacts["tree"])) as stable:
        guarded = place.model(MODEL).status.condition("Guarded")
        assert guarded is not None
        assert (guarded.status, guarded.reason) == ("False", "NothingCounted")
        with calling(f"{place.address(MODEL)}:80") as calls:
            (before,) = eventually(lambda: calls.newest(60), "answers")

            place.apply(manifest(artifacts["regression"]))
            decided(place, MODEL, "Promote", candidate)

            said = eventually(
                lambda: calls.newest(1.0) - {before} if len(calls.newest(1.0)) == 1 else None,
                "answers of the new model only",
            )
            eventually(lambda: not place.pods_of(stable), "the end of the old pods")
            ended = time.monotonic()
            eventually(lambda: calls.answers[-1][0] > ended + 1, "answers after that")
            assert calls.newest(1.0) == said
        assert calls.failures == []
        assert len(calls.answers) > 200
        (pod,) = place.pods_of(candidate)
        url = f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics"
        with urllib.request.urlopen(url, timeout=10) as told:  # our own URL
            text = told.read().decode()
        assert 'tidegate_connections_total{result="passed"}' in text
        assert "tidegate_requests_total{" not in text, "no request is counted"
