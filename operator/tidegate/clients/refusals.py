"""What a refusal of the API server means, in one line for the person who reads the log."""

import json
import re
from collections.abc import Sequence

from tidegate.clients.resources import CUSTOM, Resource

MESSAGE_LIMIT = 1000  # characters of the server's own words
# Of a missing right; a quota and an admission policy refuse with the same status.
_RIGHT = re.compile(r'cannot [a-z]+ resource "')


def reason(text: str) -> str:
    """Why the server refuses, in a word; none if it does not say."""
    try:
        return str(json.loads(text)["reason"])
    except (ValueError, LookupError, TypeError):
        return ""


def sentence(what: str, resource: Resource | None, status: int, text: str) -> str:
    """What was refused and why, and what to do about it where that is known.

    `resource` is what was asked for; None if it may have been one of several.
    """
    message = _message(text)
    told = message if message.startswith(f"{status} ") else f"{status} {message}"
    return f"{what}: {told}{_advice(resource, status, message)}"


def not_installed(resources: Sequence[Resource]) -> str:
    """What to do about custom resources that the server does not know."""
    names = ", ".join(f"{r.plural}.{r.api_version.partition('/')[0]}" for r in resources)
    which = f"the CRD {names} is" if len(resources) == 1 else f"the CRDs {names} are"
    return (
        f"{which} not installed: an administrator does it with `kubectl apply --server-side -f "
        "crds/`, or by upgrading the release with crds.enabled=true (docs/install.md)"
    )


def _message(text: str) -> str:
    """The server's words on one line; a proxy before it may say anything."""
    try:
        found = str(json.loads(text).get("message", text))
    except (ValueError, AttributeError):
        found = text
    return " ".join(found.split())[:MESSAGE_LIMIT]


def _advice(resource: Resource | None, status: int, message: str) -> str:
    # Where the kind is known and something else is missing, the server says what.
    if resource is not None and resource in CUSTOM and message == "404 page not found":
        return f": {not_installed([resource])}"
    if status == 403 and _RIGHT.search(message):
        return (
            "; give that user this right: the operator's comes with the release's roles, so "
            "upgrade the release, or add it to the roles of your own (docs/install.md)"
        )
    return ""
