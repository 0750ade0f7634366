# One image for every process: `docker run turnout proxy`, `… admin`, `… token create`.
# slim, not alpine: uvloop and asyncpg come as wheels for glibc.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/turnout
# Dependencies first: this layer is made anew only when they change.
COPY deploy/image.lock ./
RUN /opt/turnout/bin/pip install --no-cache-dir --require-hashes -r image.lock
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY pyproject.toml README.md LICENSE ./
COPY deploy/compile.py ./deploy/compile.py
COPY config ./config
COPY redis_access ./redis_access
COPY proxy ./proxy
COPY admin ./admin
COPY examples/print_erp ./examples/print_erp
# The data plane is compiled; what that needs stays in this stage.
RUN TURNOUT_COMPILE=1 /opt/turnout/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home turnout
COPY --from=build /opt/turnout /opt/turnout
COPY config/turnout.toml /etc/turnout/turnout.toml
ENV PATH=/opt/turnout/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TURNOUT_CONFIG=/etc/turnout/turnout.toml \
    TURNOUT_PROXY_LISTEN=0.0.0.0:8080 \
    TURNOUT_PROXY_MANAGEMENT_LISTEN=0.0.0.0:8090 \
    TURNOUT_ADMIN_LISTEN=0.0.0.0:8081
USER turnout
EXPOSE 8080 8081 8090
STOPSIGNAL SIGTERM
# The port that answers is the process that runs here: 8090 the proxy's, 8081 the admin's.
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s --retries=3 \
    CMD ["turnout", "health"]
ENTRYPOINT ["turnout"]
CMD ["proxy"]
