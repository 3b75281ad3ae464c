FROM python:3.11-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/closer
WORKDIR /src
# The dependencies first: their layer stays as long as their pins do.
COPY requirements.txt ./
RUN /opt/closer/bin/pip install --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml LICENSE ./
COPY tasks ./tasks
COPY worker ./worker
RUN /opt/closer/bin/pip install --no-deps --no-build-isolation .


FROM python:3.11-slim

# A fixed number, so that volumes and `runAsNonRoot` can name it. Its own directory holds the embedded store's files,
# which are there only when CLOSER_REDIS_URL is not set.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin closer \
    && install -d -o closer -g closer -m 0700 /var/lib/closer
COPY --from=build /opt/closer /opt/closer
ENV PATH=/opt/closer/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CLOSER_DATA_DIR=/var/lib/closer
USER 10001:10001
WORKDIR /var/lib/closer

# SIGTERM is the warm shutdown: calls in flight finish, the rest go back to the ledger.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["closer", "health", "--live"]
CMD ["closer", "worker"]
