# The studio's images: `web` has no torch, `worker` trains, reads files and answers. docs/operating.md says how they work together.
#
#   docker build --target web --tag hone-web .
#   docker build --target worker --build-arg TORCH_BACKEND=cpu --tag hone-worker-cpu .

FROM node:22-slim AS browser
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --no-progress
# Those that tools/setup.py copies.
RUN mkdir vendor && cp \
    node_modules/htmx.org/dist/htmx.min.js \
    node_modules/htmx.org/dist/ext/hx-sse.min.js \
    node_modules/uplot/dist/uPlot.iife.min.js \
    node_modules/uplot/dist/uPlot.min.css \
    node_modules/swagger-ui-dist/swagger-ui-bundle.js \
    node_modules/swagger-ui-dist/swagger-ui.css \
    vendor/

# Debian 13 has the PostgreSQL 17 tools, which a copy before a migration needs and which must not be older than the server.
FROM python:3.11-slim-trixie AS base
ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# All containers have one user, so that what one writes for itself alone the others can read.
RUN groupadd --gid 10001 hone \
    && useradd --uid 10001 --gid hone --create-home hone \
    && install --directory --owner=hone --group=hone --mode=0700 /data \
    && python -m venv /venv
WORKDIR /app

FROM base AS web-packages
COPY requirements/base.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/base.txt

FROM base AS worker-packages
# What uv calls the builds of torch: cu130, cu128 …, or cpu. A build has no GPU to look at, so it has to be told.
ARG TORCH_BACKEND=cu130
COPY requirements/uv.txt requirements/train.txt requirements/
RUN pip install --no-deps --require-hashes --requirement requirements/uv.txt \
    && uv pip install --python /venv/bin/python --no-cache --torch-backend ${TORCH_BACKEND} torch==2.13.0 \
    && pip install --no-deps --require-hashes --requirement requirements/train.txt

FROM web-packages AS web
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY models/hone-starter models/hone-starter
COPY catalog catalog
COPY recipes recipes
COPY samples samples
COPY static static
COPY --from=browser /src/vendor static/vendor
COPY templates templates
COPY app app
RUN pip install --no-deps --no-index --no-build-isolation --editable .
ENV HONE_HOME=/data HONE_HOST=0.0.0.0
USER hone
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
CMD ["hone", "up", "--no-workers"]

FROM worker-packages AS worker
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY models/hone-starter models/hone-starter
COPY app app
COPY workers workers
RUN pip install --no-deps --no-index --no-build-isolation --editable .
ENV HONE_HOME=/data
USER hone
VOLUME /data
STOPSIGNAL SIGTERM
# A worker says in the database every fifteen seconds that it lives, and /workers shows it; nothing listens here that could be asked.
HEALTHCHECK NONE
CMD ["hone", "worker", "--queue", "gpu"]
