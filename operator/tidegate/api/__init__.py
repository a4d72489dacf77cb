"""The typed API: what users write and what they read back."""
