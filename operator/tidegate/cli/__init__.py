"""`kubectl tidegate`: what was decided, why, and what would be."""
