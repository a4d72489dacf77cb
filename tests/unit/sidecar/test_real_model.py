"""Train, serve and count with the programs that run in a pod: their formats must fit together."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.unit.runtime.jobs import job, people, workspace
from tests.unit.sidecar.harness import (
    STABLE,
    eventually,
    get,
    once,
    post,
    sidecar,
)

from tidegate.evidence.profile import Profile
from tidegate.evidence.ranked import added
from tidegate.runtime.train import train
from tidegate.statistics.ranking import Ranks

pytestmark = pytest.mark.asyncio(loop_scope="module")
FEATURES = ["age", "plan", "paid"]
INFER, PREDICT = "/v2/models/churn/infer", "/v1/models/churn:predict"


@asynccontextmanager
async def model_server(folder: Path, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidegate.runtime"),
        *("--termination-log", str(folder.parent / "log"), "serve", "--model-dir", str(folder)),
        *("--name", "churn", "--host", "127.0.0.1", "--port", str(port), "--drain", "0s"),
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def ready(port: int) -> bool:
    try:
        return (await once(port, get("/v2/health/ready"))).status == 200
    except ConnectionRefusedError:
        return False


def column(name: str, datatype: str, values: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


async def test_what_training_wrote_is_what_serving_is_counted_with(tmp_path: Path) -> None:
    frame = people()
    train(job(data={"features": FEATURES}), workspace(tmp_path, train=frame))
    profile = json.loads((tmp_path / "out" / "profile.json").read_text())
    rows = json.loads(frame[FEATURES].to_json(orient="values"))
    columns = [
        column("age", "FP64", [r[0] for r in rows]),
        column("plan", "BYTES", [r[1] for r in rows]),
        column("paid", "BOOL", [r[2] for r in rows]),
    ]
    port = free_port()
    async with (
        model_server(tmp_path / "out", port),
        sidecar(tmp_path, port, profile=profile) as pod,
    ):
        await pod.monitor_up()
        await eventually(lambda: ready(port))
        listed = await once(pod.port, post({"instances": rows}, PREDICT))
        named = [dict(zip(FEATURES, row, strict=True)) for row in rows]
        replies = [
            await once(pod.port, post({"instances": named}, PREDICT)),
            tabled := await once(pod.port, post({"inputs": columns}, INFER)),
            await once(pod.port, post({"instances": [[1]]}, PREDICT)),
        ]
        assert [r.status for r in replies] == [200, 200, 400]
        id_ = listed.header("x-tidegate-id")

        rejected = f'tidegate_requests_total{{code="400",revision="{STABLE}",track="stable"}}'

        async def counted() -> bool:
            now = await pod.scrape()
            return (now["tidegate_rows_total"], now.get(rejected)) == (3 * len(rows), 1)

        await eventually(counted)
        numbers = await pod.scrape()
        # The rows are those of the reference, so that nothing drifted.
        for name in FEATURES:
            drift = numbers[f'tidegate_feature_drift{{feature="{name}",method="psi"}}']
            assert drift < 0.05, name
        assert not any(name.startswith("tidegate_unparsed_total") for name in numbers)
        labels = listed.json()["predictions"]
        reply = await once(pod.port, post({"id": id_, "label": labels}, "/feedback"))
        assert reply.json() == {"result": "accepted"}
        report = await pod.report()
        assert [(n.labelled, n.wrong) for n in report.labels.values()] == [(len(rows), 0)]
        # Probabilities come with the answers of Open Inference Protocol v2.
        truth = frame["label"].tolist()
        entry = {"id": tabled.header("x-tidegate-id"), "label": truth}
        assert (await once(pod.port, post(entry, "/feedback"))).json() == {"result": "accepted"}
        told = [n.ranked for n in (await pod.report()).labels.values() if n.ranked]
        ranking = Profile.from_json(profile).ranking
        assert ranking is not None
        negatives, positives = ranking.counts(added(*told))
        assert (negatives.sum(), positives.sum()) == (truth.count("no"), truth.count("yes"))
        assert Ranks.of(negatives, positives).auc > 0.9
