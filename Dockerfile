# syntax=docker/dockerfile:1
# One image for each program. The build needs no network: `make image` (and for other builders
# `hack/cluster/cluster image context`) puts everything into the build context, a folder a target:
#   wheels/             the wheels of all dependencies
#   dependencies.txt    their pinned names, so that this layer is built anew only when they change
#   tidegate-*.whl      Tidegate itself
#   compiled/           for the sidecar: modules of the request path in C, or nothing
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS python
# Bytecode is compiled when the wheels are installed: at run time the root is read-only.
ENV PATH=/opt/tidegate/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY dependencies.txt /opt/
RUN --mount=type=bind,source=wheels,target=/wheels \
    python3 -m venv /opt/tidegate && \
    pip install --no-cache-dir --no-index --find-links /wheels -r /opt/dependencies.txt
COPY tidegate-*.whl /opt/
RUN pip install --no-cache-dir --no-index --no-deps /opt/tidegate-*.whl
# Not the root folder: `python -m` would search it first.
WORKDIR /tmp
USER 65532:65532

FROM python AS operator
# kopf names itself after its user, and a pod's uid has no name.
ENV USER=tidegate
ENTRYPOINT ["python", "-m", "tidegate.controllers"]

FROM python AS sidecar
# Python takes a compiled module before the source beside it.
COPY compiled/ /opt/tidegate/lib/python3.11/site-packages/
ENTRYPOINT ["python", "-m", "tidegate.sidecar"]

FROM python AS runtime
ENTRYPOINT ["python", "-m", "tidegate.runtime"]
