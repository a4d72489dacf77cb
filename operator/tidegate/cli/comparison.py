"""`backtest` of all that the user names: each policy, each analysis, on each recorded Model."""

from collections.abc import Sequence
from pathlib import Path

from tidegate.api.v1alpha1.drift_policy import DriftPolicy
from tidegate.api.v1alpha1.model import Model
from tidegate.cli import drift_report, plot
from tidegate.cli.answer import Answer
from tidegate.cli.backtest import Backtest, backtested
from tidegate.cli.files import manifests
from tidegate.cli.recordings import load
from tidegate.cli.rollouts import tried
from tidegate.errors import TerminalError


def compared(files: Sequence[str], windows: str, model: str | None, picture: str | None) -> Answer:
    """DriftPolicies side by side; then what the Models' analyses make of their rollouts."""
    named = [(path, m) for path in files for m in manifests(path)]
    recorded = [r for r in load(windows).values() if model in (None, r.model)]
    if not recorded:
        raise TerminalError("NotFound", f"--windows {windows}: nothing of --model {model} in there")
    drifts = [
        backtested(_labelled(path, policy, len(files)), recording)
        for path, policy in named
        if isinstance(policy, DriftPolicy)
        for recording in recorded
    ]
    answers = [drift_report.reported(drifts)] if drifts else []
    answers += [
        tried(_name(path, wanted, len(files)), wanted.spec.delivery.analysis, recording)
        for path, wanted in named
        if isinstance(wanted, Model)
        for recording in recorded
        if recording.model == wanted.metadata.name
    ]
    if not answers:
        raise TerminalError(
            "NotFound", f"--windows {windows}: nothing of the Models in {', '.join(files)} in there"
        )
    if picture is not None:
        _draw(drifts, picture)
    data = [part for answer in answers for part in answer.data]
    return Answer(data, "\n\n".join(a.text for a in answers))


def _draw(drifts: Sequence[Backtest], picture: str) -> None:
    if not drifts:
        raise TerminalError("InvalidArgument", "--plot draws DriftPolicies: name one with -f")
    plot.save(drifts, Path(picture))


def _labelled(path: str, policy: DriftPolicy, files: int) -> DriftPolicy:
    """The policy under a name that tells it from its other version."""
    name = _name(path, policy, files)
    return policy.model_copy(update={"metadata": policy.metadata.model_copy(update={"name": name})})


def _name(path: str, obj: Model | DriftPolicy, files: int) -> str:
    return obj.metadata.name if files == 1 else f"{obj.metadata.name} ({Path(path).name})"
