"""Lines on stdout that say how far a download is."""

STEP_BYTES = 64 << 20
MEGABYTE = 1 << 20


class Progress:
    """Called with (bytes so far, all bytes); prints at each step and at the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = STEP_BYTES

    def __call__(self, done: int, total: int) -> None:
        if done < self._next and done != total:
            return
        while self._next <= done:
            self._next += STEP_BYTES
        print(f"{self._name}: {done / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MiB", flush=True)
