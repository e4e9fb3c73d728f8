# SPDX-License-Identifier: MIT
# Stands in for the official image where that can't be fetched: Debian's Postgres behind the same variables, volume and
# port, as far as deploy/docker-compose.yml uses them.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
    && apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql \
    && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
COPY postgres-entry.sh /entry.sh
ENV PGDATA=/var/lib/postgresql/data PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
USER postgres
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/entry.sh"]
