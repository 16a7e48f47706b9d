# Superset as deploy/requirements/superset.txt locks it, with our configuration and dashboards.
# The lock holds for Python 3.11.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1
COPY deploy/requirements/superset.txt /src/requirements.txt
RUN /opt/uv/bin/uv venv --quiet /opt/superset \
 && /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/superset/bin/python \
      --requirement /src/requirements.txt

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="weekahead superset" \
      org.opencontainers.image.description="Superset with weekahead's dashboards" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/superset /opt/superset
RUN groupadd --gid 10001 weekahead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weekahead \
 && install -d -m 0700 -o 10001 -g 10001 /secrets
COPY deploy/superset /opt/deploy/superset
COPY deploy/compose/with-secrets.sh /opt/deploy/compose/
COPY deploy/docker/healthcheck.py /opt/deploy/docker/
ENV PATH=/opt/superset/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    SUPERSET_HOME=/tmp/superset \
    SUPERSET_CONFIG_PATH=/opt/deploy/superset/superset_config.py \
    SCARF_ANALYTICS=false \
    DO_NOT_TRACK=1
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=6 \
  CMD ["python3", "-S", "/opt/deploy/docker/healthcheck.py"]
CMD ["superset", "version"]
