"""What `plan` is asked: the Model to be, and the traffic that it will get."""

import argparse
from dataclasses import replace

from tidegate.api.v1alpha1.model import Model
from tidegate.cli.access import Access
from tidegate.cli.files import model_of
from tidegate.cli.plan import Question, present_traffic
from tidegate.cli.recordings import load_one
from tidegate.errors import TerminalError
from tidegate.evidence.recording import Recording
from tidegate.evidence.windows import SLOT_SECONDS
from tidegate.rollout.power import Traffic


async def question(asked: argparse.Namespace, access: Access | None) -> Question:
    """The question with its numbers; without `access` only what the command line says is known."""
    model = model_of(asked.file) if asked.file else await _connected(access).model(asked.model)
    if access is None:
        traffic = Traffic(requests=0)
    else:
        recording = await _recording(asked, access, model)
        traffic = present_traffic(recording, _stable(model, recording))
    if asked.requests_per_second is not None:
        traffic = replace(traffic, requests=asked.requests_per_second * SLOT_SECONDS)
    if asked.error_rate is not None:
        traffic = replace(traffic, error_rate=asked.error_rate)
    return Question(model.metadata.name, model.spec.delivery, traffic, asked.sizes)


async def _recording(asked: argparse.Namespace, access: Access, model: Model) -> Recording:
    name = model.metadata.name
    if asked.windows:
        return load_one(asked.windows, access.namespace, name)
    return await access.evidence(name)


def _stable(model: Model, recording: Recording) -> str | None:
    """The revision that serves, as far as the Model or its recorded snapshots tell."""
    for known in (model, *reversed(recording.snapshots)):
        if known.status.stable is not None:
            return known.status.stable.revision
    return None


def _connected(access: Access | None) -> Access:
    if access is None:
        raise TerminalError("InvalidArgument", "name a Model of the cluster, or a file with -f")
    return access
