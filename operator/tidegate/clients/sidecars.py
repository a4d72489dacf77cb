"""The sidecars' control ports: pull windows, push routing documents, read profiles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tidegate.errors import TerminalError, TransientError, said
from tidegate.evidence.profile import Profile
from tidegate.evidence.windows import Report, slot_of
from tidegate.traffic.signing import CLOCK_SKEW_SECONDS, mint_token

TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
MAX_ANSWER_BYTES = 32 * 1024 * 1024  # a pod that sends more at once is not ours
REPORTS_AT_ONCE = 64  # enough for an hour of the widest tables; the rest waits for the next round
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError)


class SkewedClockError(TerminalError):
    """A pod's clock is so far from ours that its slots are not ours."""

    def __init__(self, seconds: float, report: Report | None = None) -> None:
        """`seconds`: by how much it is ahead; `report`: what the pod told, if it told anything."""
        super().__init__(
            "ClockSkewed", f"its clock differs from the operator's by {seconds:+.0f} s"
        )
        self.seconds = seconds
        self.report = report


@dataclass(frozen=True, slots=True)
class Target:
    """A pod to ask."""

    uid: str
    address: str
    """`ip:port` of the control port."""
    revision: str
    ready: bool
    ending: bool = False
    """It is about to be gone, and with it all that it has not told."""


class Sidecars:
    """A client of all sidecars; what a sidecar answers is checked, never trusted."""

    def __init__(self, key: Ed25519PrivateKey, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        self._session = aiohttp.ClientSession(
            timeout=TIMEOUT,
            connector=aiohttp.TCPConnector(limit=100, limit_per_host=2, ttl_dns_cache=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        await self._session.close()

    async def windows(self, target: Target, *, after: int, labels_after: int) -> Report:
        """What the pod has counted in closed slots after `after`.

        SkewedClockError if by its clock these are not the slots of the other pods.
        """
        report = await self._report(target, after, labels_after)
        for _ in range(REPORTS_AT_ONCE - 1):
            if not report.more:
                break
            later = await self._report(target, report.closed_through, labels_after)
            report = replace(later, windows={**report.windows, **later.windows})
        return report

    async def _report(self, target: Target, after: int, labels_after: int) -> Report:
        path = f"/windows?after={after}&labelsAfter={labels_after}"
        _, data, skew = await self._call("GET", target, path)
        try:
            report = Report.from_json(data)
        except _MALFORMED as error:
            raise TerminalError("InvalidReport", f"{target.address}{path}: {error!r}") from error
        if report.member != target.uid:
            # Addresses are used again: another pod's windows must not be booked under this one.
            raise TerminalError("InvalidReport", f"{target.address} is another pod than expected")
        if abs(skew) > CLOCK_SKEW_SECONDS:
            raise SkewedClockError(skew, report)
        if report.closed_through > slot_of(self._now() + CLOCK_SKEW_SECONDS):
            raise TerminalError("InvalidReport", f"{target.address} reports slots of the future")
        return report

    async def push(self, target: Target, envelope: str) -> int:
        """Hand over a sealed routing document; the generation that the pod acts on now."""
        _, data, _ = await self._call("PUT", target, "/routing", body=envelope, allowed=(200, 409))
        try:
            return int(data["generation"])
        except _MALFORMED as error:
            raise TerminalError("InvalidAnswer", f"{target.address}/routing: {error!r}") from error

    async def profile(self, target: Target) -> Profile | None:
        """The reference profile that the pod counts with; None if it has none."""
        status, data, _ = await self._call("GET", target, "/profile", allowed=(200, 404))
        if status == 404:
            return None
        try:
            return Profile.from_json(data)
        except _MALFORMED as error:
            raise TerminalError("InvalidProfile", f"{target.address}: {error!r}") from error

    async def _call(
        self,
        method: str,
        target: Target,
        path: str,
        *,
        body: str | None = None,
        allowed: tuple[int, ...] = (200,),
    ) -> tuple[int, Any, float]:
        """The answer's status, what it says, and by how much the pod's clock is ahead."""
        token = mint_token(self._key, target.uid, self._now())
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        url = f"http://{target.address}{path}"
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                skew = _ahead(answer.headers.get("Date"), self._now())
                content = await _bounded(answer, url)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransientError(f"{method} {url}: {said(error)}") from error
        if answer.status == 401 and abs(skew) > CLOCK_SKEW_SECONDS:
            raise SkewedClockError(skew)  # by its clock the token has expired
        if answer.status in (401, 403):
            raise TerminalError("Refused", f"{method} {url}: {answer.status}")
        if answer.status not in allowed:
            raise TransientError(f"{method} {url}: {answer.status}")
        if answer.status == 404:
            return 404, None, skew
        try:
            return answer.status, orjson.loads(content), skew
        except ValueError as error:
            raise TerminalError("InvalidAnswer", f"{method} {url}: not JSON") from error


def _ahead(date: str | None, now: float) -> float:
    """By how many seconds an answer's date is ahead; 0 where it has none that can be read."""
    try:
        return parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, OverflowError):
        return 0.0


async def _bounded(answer: aiohttp.ClientResponse, url: str) -> bytes:
    """The body, unless it is absurdly large."""
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            answer.close()
            raise TerminalError("InvalidAnswer", f"{url}: more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)
