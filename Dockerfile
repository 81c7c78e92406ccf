# Packrat's daemon in a container. `docker build -t packrat .`, then examples/compose.yaml.
#
# BASE is any image with Python 3.11 or newer and bash. Nothing else is downloaded but the locked
# dependencies. The default is pinned by digest; `docker buildx imagetools inspect
# python:3.11-slim-bookworm` prints the newest one.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# The tools that build packrat stay in this stage.
FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-run.lock pyproject.toml README.md LICENSE ./
RUN python3 -m venv /tools && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
RUN python3 -m venv --without-pip /opt/packrat && /tools/bin/pip --python /opt/packrat/bin/python \
    install --no-cache-dir --require-hashes -r requirements-run.lock
COPY engine engine
COPY stages stages
COPY specs specs
COPY vault vault
COPY packrat packrat
COPY examples examples
COPY rescue.py rescue.py
RUN /tools/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheel . \
    && /tools/bin/pip --python /opt/packrat/bin/python install --no-cache-dir --no-deps /wheel/*.whl

FROM ${BASE}
COPY --from=build /opt/packrat /opt/packrat

# Where the volumes go: configuration and key, state and spool.
ENV PATH=/opt/packrat/bin:$PATH PACKRAT_CONFIG=/config/packrat.yaml PACKRAT_STATE_DIR=/state
VOLUME ["/config", "/state"]
HEALTHCHECK --interval=1m --start-period=30s CMD ["packrat", "history", "--last", "1"]
ENTRYPOINT ["packrat"]
CMD ["daemon"]
