# One image for every role: `grace exporter`, `grace remediator`, and the parts of the demo.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv /opt/grace
COPY pyproject.toml requirements.lock ./
# What the image needs and nothing of what development needs, in the versions of the lock.
RUN python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
        extras = p["optional-dependencies"]; print(*p["dependencies"], *extras["docker"], *extras["postgres"], sep="\n")' \
        > wanted.txt \
    && /opt/grace/bin/pip install --no-cache-dir --disable-pip-version-check -c requirements.lock -r wanted.txt
COPY README.md LICENSE ./
COPY catalog catalog
COPY rules rules
COPY exporter exporter
COPY remediator remediator
COPY demo demo
COPY grafana grafana
COPY stack stack
COPY grace grace
RUN /opt/grace/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
    && /opt/grace/bin/python -m compileall -q /opt/grace/lib

FROM ${PYTHON_IMAGE}
# HAProxy is for the demo's load balancer.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 grace \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/grace --shell /usr/sbin/nologin grace \
    # Volumes that are mounted here for the first time take this owner.
    && install -d -o grace -g grace -m 0750 /var/lib/grace /var/lib/grace/demo \
    && install -d -o grace -g grace -m 0755 /run/grace /secrets /secrets/alertmanager /secrets/exporter \
        /secrets/grafana /secrets/ledger /secrets/postgres
COPY --from=build /opt/grace /opt/grace
COPY deploy/health.py /opt/grace/health.py
ENV PATH=/opt/grace/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GRACE_CONFIG=/etc/grace/grace.yml
USER 10001:10001
WORKDIR /var/lib/grace
# 9781: the exporter. 9782: the remediator.
EXPOSE 9781 9782
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-I", "-S", "/opt/grace/health.py"]
ENTRYPOINT ["grace"]
CMD ["--help"]
