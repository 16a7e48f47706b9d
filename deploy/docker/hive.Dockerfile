# A Hive metastore from the jars that PySpark's package brings, on Debian's Java: for
# deploy/compose/hive.yml, where the lake's catalog is Hive's.
#
# Any Debian 12 image with Python will do as the base.
ARG BASE_IMAGE=python:3.11.13-slim-bookworm

FROM ${BASE_IMAGE} AS jars
WORKDIR /src
RUN echo "pyspark==4.3.0 --hash=sha256:e8c517948eff7088a7aa07449aa8eafa4a15a8d50319de2525a6fd26622476c6" >pinned.txt \
 && python3 -m venv /opt/pip \
 && /opt/pip/bin/pip download --quiet --no-cache-dir --disable-pip-version-check --no-deps -r pinned.txt \
 && mkdir /opt/jars \
 && tar -xzf pyspark-*.tar.gz --strip-components=3 -C /opt/jars --wildcards \
      $(for name in HikariCP antlr-runtime commons-cli commons-collections commons-dbcp commons-lang \
           commons-pool datanucleus derby guava failureaccess hadoop-client hive-common hive-exec hive-jdbc \
           hive-metastore hive-serde hive-shims hive-storage-api jackson jcl-over-slf4j javax.jdo \
           javax.servlet-api jdo-api jta libfb303 libthrift log4j slf4j-api transaction-api; do \
           echo "pyspark-*/deps/jars/$name*.jar"; done) \
 && rm pyspark-*.tar.gz

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="weekahead hive" \
      org.opencontainers.image.description="Hive metastore 2.3 from PySpark's jars" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 weekahead \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin weekahead \
 && install -d -m 0700 -o 10001 -g 10001 /var/lib/hive
COPY --from=jars /opt/jars /opt/hive/jars
COPY deploy/docker/hive /opt/hive
USER 10001:10001
WORKDIR /tmp
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=6 \
  CMD ["python3", "-S", "-c", "import socket; socket.create_connection(('127.0.0.1', 9083), 4)"]
CMD ["/bin/sh", "/opt/hive/metastore.sh"]
