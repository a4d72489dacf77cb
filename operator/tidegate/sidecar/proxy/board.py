"""The routing document that is in force: signed, for this Model, and never an older one."""

import logging
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tidegate.api.names import PUBLIC_KEY_FILE, ROUTING_FILE
from tidegate.errors import TerminalError
from tidegate.sidecar.settings import host_and_port
from tidegate.traffic.routing import Routing
from tidegate.traffic.signing import unseal

NO_PUBLIC_KEY = "NoPublicKey"

logger = logging.getLogger(__name__)


class Verdict(Enum):
    """What became of an offered document."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    OLDER = "older"


class Board:
    """Takes documents from the control port and from the mounted file under the same rules."""

    def __init__(self, model: str, folder: Path, announce: Callable[[Routing], None]) -> None:
        self._model = model
        self._folder = folder
        self._announce = announce
        self._seen: bytes | None = None
        self.current: Routing | None = None

    @property
    def generation(self) -> int:
        return self.current.generation if self.current else 0

    def offer(self, envelope: str) -> Verdict:
        """Raise TerminalError if the document is forged, broken, or for another Model."""
        routing = Routing.from_json(unseal(envelope, self._key()))
        if routing.model != self._model:
            raise TerminalError("WrongModel", f"the document is for {routing.model}")
        if self.current is not None and routing.generation <= self.generation:
            return Verdict.KNOWN if routing == self.current else Verdict.OLDER
        _check_addresses(routing)
        self.current = routing
        self._announce(routing)
        logger.info("routing generation %d is in force", routing.generation)
        return Verdict.ACCEPTED

    def read_file(self) -> None:
        """Offer the mounted document if it is there and has changed."""
        try:
            content = (self._folder / ROUTING_FILE).read_bytes()
        except OSError:
            return  # not mounted, or just being replaced: the next second tells
        if content == self._seen:
            return
        try:
            self.offer(content.decode(errors="replace"))
        except TerminalError as error:
            logger.warning("the mounted routing document is refused: %s", error)
            if error.reason == NO_PUBLIC_KEY:
                return  # it may be mounted a moment later: offer the document again
        self._seen = content

    def _key(self) -> Ed25519PublicKey:
        try:
            pem = (self._folder / PUBLIC_KEY_FILE).read_bytes()
            return cast("Ed25519PublicKey", load_pem_public_key(pem))
        except (OSError, ValueError) as error:
            raise TerminalError(NO_PUBLIC_KEY, f"no public key to check with: {error}") from error


def _check_addresses(routing: Routing) -> None:
    addresses = [routing.stable_address]
    if routing.candidate:
        addresses.append(routing.candidate.address)
    try:
        for address in addresses:
            host_and_port(address)
    except ValueError as error:
        raise TerminalError("InvalidRouting", str(error)) from error
