# The platform's own image: pipeline, Prefect server and worker, MLflow, SeaweedFS (from its wheel)
# and the one-shot tasks. One image for all of them: they share their packages, and what was
# tested together runs together.
#
# Any Debian-based image with Python 3.11 or 3.12 will do as the base.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/weekahead \
    UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1
WORKDIR /src
# The packages are a layer of their own: a change of our code does not install them again.
COPY pyproject.toml uv.lock ./
RUN /opt/uv/bin/uv sync --frozen --quiet --no-dev --extra postgres --no-install-project
COPY LICENSE README.md ./
COPY dbt dbt
COPY deploy deploy
COPY airflow_bridge airflow_bridge
COPY catalog catalog
COPY lakehouse lakehouse
COPY flows flows
RUN /opt/uv/bin/uv sync --frozen --quiet --no-dev --extra postgres --no-editable

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="weekahead platform" \
      org.opencontainers.image.description="Pipeline, Prefect, MLflow and SeaweedFS of weekahead" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/weekahead /opt/weekahead
# A new volume takes owner, mode and content from the directory that it is mounted over.
RUN groupadd --gid 10001 weekahead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weekahead \
 && for name in all postgres seaweedfs clickhouse prefect mlflow pipeline superset airflow; do \
      install -d -m 0700 -o 10001 -g 10001 "/var/lib/secrets/$name"; \
    done \
 && for name in /secrets /var/lib/weekahead /var/lib/seaweedfs /var/lib/prefect /var/lib/clickhouse-embedded; do \
      install -d -m 0700 -o 10001 -g 10001 "$name"; \
    done
COPY deploy /opt/deploy
ENV PATH=/opt/weekahead/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    PREFECT_HOME=/tmp/prefect \
    WEEKAHEAD_HOME=/var/lib/weekahead \
    DO_NOT_TRACK=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
USER 10001:10001
WORKDIR /tmp
# Asks the addresses in HEALTH_URLS; a task without any has nothing to ask.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=6 \
  CMD ["python3", "-S", "/opt/deploy/docker/healthcheck.py"]
CMD ["weekahead", "--help"]
