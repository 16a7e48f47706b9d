# Airflow as deploy/requirements/airflow.txt locks it, with the bridge that starts Prefect's
# deployments. The lock holds for Python 3.11.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv \
 && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
ENV UV_PYTHON_DOWNLOADS=never \
    UV_NO_CACHE=1 \
    UV_COMPILE_BYTECODE=1
COPY deploy/requirements/airflow.txt /src/requirements.txt
RUN /opt/uv/bin/uv venv --quiet /opt/airflow \
 && /opt/uv/bin/uv pip install --quiet --require-hashes --python /opt/airflow/bin/python \
      --requirement /src/requirements.txt
COPY airflow_bridge /src/airflow_bridge
# The DAG files' folder gets a path without Python's version in it.
RUN /opt/uv/bin/uv pip install --quiet --no-deps --python /opt/airflow/bin/python /src/airflow_bridge \
 && ln -s /opt/airflow/lib/python3*/site-packages/weekahead_airflow/dags /opt/airflow/dags

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="weekahead airflow" \
      org.opencontainers.image.description="Airflow with the bridge to Prefect" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/airflow /opt/airflow
# A new volume takes owner and mode from the directory that it is mounted over.
RUN groupadd --gid 10001 weekahead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weekahead \
 && install -d -m 0700 -o 10001 -g 10001 /secrets /var/lib/airflow /var/lib/airflow/logs
COPY deploy/compose/with-secrets.sh deploy/compose/airflow_init.py /opt/deploy/compose/
COPY deploy/docker/healthcheck.py /opt/deploy/docker/
COPY deploy/airflow /opt/deploy/airflow
ENV PATH=/opt/airflow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    AIRFLOW_HOME=/tmp/airflow \
    SCARF_ANALYTICS=false \
    DO_NOT_TRACK=1
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=6 \
  CMD ["python3", "-S", "/opt/deploy/docker/healthcheck.py"]
CMD ["airflow", "version"]
