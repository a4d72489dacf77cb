"""The model server: Open Inference Protocol v2 and KServe V1 over HTTP with JSON."""
