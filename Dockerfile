# Packrat's daemon in a container. `docker build -t packrat .`, then examples/compose.yaml.
#
# BASE is any image with Python 3.11 or newer and Debian's or Alpine's shell; nothing else is
# downloaded but the locked dependencies.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

WORKDIR /opt/packrat
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY engine engine
COPY stages stages
COPY specs specs
COPY vault vault
COPY packrat packrat
RUN pip install --no-cache-dir --no-build-isolation --no-deps .

# Where the volumes go: configuration and key, state and spool.
ENV PACKRAT_CONFIG=/config/packrat.yaml PACKRAT_STATE_DIR=/state
VOLUME ["/config", "/state"]
HEALTHCHECK --interval=1m --start-period=30s CMD ["packrat", "history", "--last", "1"]
ENTRYPOINT ["packrat"]
CMD ["daemon"]
