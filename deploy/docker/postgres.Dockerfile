# PostgreSQL from Debian's packages, for where the official image cannot be pulled
# (deploy/compose/no-registry.yml). It takes the same variables and volume as the official one.
ARG BASE_IMAGE=debian:12-slim

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="weekahead postgres" \
      org.opencontainers.image.description="PostgreSQL 15 from Debian's packages" \
      org.opencontainers.image.licenses="PostgreSQL"
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql \
 && groupadd --gid 10001 weekahead \
 && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin weekahead \
 && install -d -m 0700 -o 10001 -g 10001 /var/lib/postgresql/data /secrets
COPY deploy/docker/postgres-entrypoint.sh /usr/local/bin/postgres-entrypoint
ENV PATH=/usr/lib/postgresql/15/bin:$PATH \
    LANG=C.UTF-8 \
    PGDATA=/var/lib/postgresql/data/pgdata
USER 10001:10001
STOPSIGNAL SIGINT
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres"]
ENTRYPOINT ["/bin/sh", "/usr/local/bin/postgres-entrypoint"]
CMD ["postgres"]
