"""How long tests wait for what is sure to come."""

# Only what hangs fails by it: a machine that does ten things at once takes that much longer.
DEADLINE_SECONDS = 120.0
