# The service as an image. Build arguments name what it was built from, so that Backout can judge a release of itself.
FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/backout && python -m venv /opt/build
COPY requirements.txt requirements-dev.txt ./
# Wheels alone and only those whose hashes are in the file: nothing is compiled and nothing else can come in.
RUN /opt/backout/bin/pip install --require-hashes --only-binary=:all: -r requirements.txt
# The build backend is held by its hash too; it stays in this stage.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements-dev.txt > requirements-build.txt \
    && /opt/build/bin/pip install --require-hashes --only-binary=:all: -r requirements-build.txt
COPY pyproject.toml README.md LICENSE openapi.yaml ./
COPY integrations/ integrations/
COPY service/ service/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/backout/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="backout" \
      org.opencontainers.image.description="Takes production back to safety: decides with evidence whether a bad release can be rolled back, does it, and proves it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /opt/backout /opt/backout
# /var/lib/backout is all that is written to: mount a volume there and the root file system may be read-only.
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/backout && install -d /etc/backout
ENV PATH=/opt/backout/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 BACKOUT_CONFIG=/etc/backout/backout.yaml
WORKDIR /var/lib/backout
USER 10001:10001
VOLUME ["/var/lib/backout"]
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether the process answers, and no more (/livez); for Docker alone, Kubernetes has probes. It asks the port above: where `listen` names another, give another.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client; c = http.client.HTTPConnection('127.0.0.1', 8080, timeout=4); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["backout"]
CMD ["serve", "--config", "/etc/backout/backout.yaml"]
