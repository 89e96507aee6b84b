# One image for all roles; docker-compose.yml sets the command. Build: docker build -t churn-signals .
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/churn-signals
# Install dependencies first, so that this layer is rebuilt only when the lock file changes. The pins are those of
# requirements.lock, without extras for tests, plots and the embedded Kafka.
COPY requirements-run.lock ./
RUN /opt/churn-signals/bin/pip install --require-hashes --requirement requirements-run.lock
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY streams streams
RUN /opt/churn-signals/bin/pip install --no-deps . && /opt/churn-signals/bin/pip uninstall --yes pip

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin churn \
  && install --directory --owner=churn --group=churn /data
COPY --from=build /opt/churn-signals /opt/churn-signals
COPY churn.toml /etc/churn-signals/churn.toml
ENV PATH=/opt/churn-signals/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    CHURN_CONFIG=/etc/churn-signals/churn.toml \
    CHURN_DATA_DIR=/data
USER 10001
WORKDIR /data
VOLUME /data
# Exec form, so that SIGTERM reaches the program. It commits its work and exits within 10 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["churn-signals"]
CMD ["--help"]
