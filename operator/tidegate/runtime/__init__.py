"""The programs inside the user's pods: fetching, training, publishing and serving models."""
