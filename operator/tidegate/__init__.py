"""Tidegate delivers machine-learning models on Kubernetes."""
