"""Pure counting: windows that add up, the reference profile, latency bins, inference ids."""
