"""What somebody who looks into a failed test wants to see, before the cluster is cleaned up."""

from collections.abc import Iterable, Iterator

import yaml
from tests.e2e.place import Place
from tests.integration.apiserver import Manifest

EVENTS, OPERATOR_LINES, POD_LINES = 40, 80, 15
OPAQUE = ("cursor", "managedFields")


def diagnose(places: Iterable[Place]) -> str:
    """Statuses, pods, events and logs of the namespaces."""
    return "\n".join(line for place in places for line in _lines(place))


def _lines(place: Place) -> Iterator[str]:
    yield f"══ namespace {place.namespace}"
    for plural in ("models", "trainingjobs", "driftpolicies"):
        for obj in place.all(plural):
            status = yaml.safe_dump(_readable(obj.get("status")), sort_keys=False, width=160)
            yield f"── {plural} {obj['metadata']['name']}\n{status}"
    pods = place.all("pods")
    for event in sorted(place.all("events"), key=_when)[-EVENTS:]:
        about = f"{event['involvedObject']['kind']} {event['involvedObject']['name']}"
        yield f"{_when(event)} {about}: {event['reason']}: {event['message']}"
    for pod in pods:
        yield from _logs(place, pod)


def _logs(place: Place, pod: Manifest) -> Iterator[str]:
    name = pod["metadata"]["name"]
    lines = OPERATOR_LINES if "tidegate.dev/model" not in pod["metadata"]["labels"] else POD_LINES
    yield f"── pod {name} {pod['status']['phase']} {pod['metadata']['uid']}"
    states = ("initContainerStatuses", "containerStatuses")
    for state in (s for key in states for s in pod["status"].get(key, ())):
        yield f"{state['name']} ({state['restartCount']} restarts) {state['state']}"
        yield place.log(name, state["name"], lines=lines)
        if state["restartCount"]:
            yield f"before: {place.log(name, state['name'], lines=lines, previous=True)}"


def _readable(value: object) -> object:
    match value:
        case dict():
            return {k: _readable(v) for k, v in value.items() if k not in OPAQUE}
        case list():
            return [_readable(v) for v in value]
        case _:
            return value


def _when(event: Manifest) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
