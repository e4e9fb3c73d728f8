# SPDX-License-Identifier: MIT
# Stands in for the official image where that can't be fetched: Debian's nginx.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nginx-light
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
