# bier on CPUs; docs/docker.md says how to build and run it. Dockerfile.gpu is the same for NVIDIA GPUs.

FROM python:3.12-slim AS build
RUN useradd --create-home --uid 1000 bier && mkdir /opt/bier && chown bier /opt/bier
USER bier
WORKDIR /home/bier/source
COPY --chown=bier pyproject.toml README.md LICENSE constraints.txt ./
COPY --chown=bier src ./src
# `cpu` makes the image much smaller: torch is then taken from an index of its own, without CUDA.
ARG UV_TORCH_BACKEND
RUN python -m venv /opt/bier \
    && /opt/bier/bin/pip install --quiet --no-cache-dir -c constraints.txt uv \
    && /opt/bier/bin/uv pip install --quiet --no-cache --compile-bytecode --python /opt/bier/bin/python \
        -c constraints.txt '.[fast,export,serve]' \
    && /opt/bier/bin/uv pip uninstall --quiet --no-cache --python /opt/bier/bin/python uv

FROM python:3.12-slim
RUN useradd --create-home --uid 1000 bier && mkdir /data && chown bier /data
# It belongs to root: what runs as bier cannot change the program.
COPY --from=build --chown=root /opt/bier /opt/bier
ENV PATH=/opt/bier/bin:$PATH
USER bier
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["bier"]
CMD ["--help"]
