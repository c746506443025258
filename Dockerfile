# The starter as an image: one process, not root, nothing in it that is not needed to serve.
# Build: docker build -t starter .      Run: docker run -p 8000:8000 --env-file .env starter
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/app
# The locked requirements change seldom: their layer is kept while the code changes.
COPY requirements/serve.txt requirements/serve.txt
RUN /opt/app/bin/pip install --only-binary :all: --require-hashes -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/app/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home app
COPY --from=build /opt/app /opt/app
# Root's and empty: modules, `.env` and pyproject.toml are looked for here, and nobody plants one.
WORKDIR /srv/app
USER 10001
ENV PATH=/opt/app/bin:$PATH HOST=0.0.0.0 PORT=8000 PYTHONDONTWRITEBYTECODE=1
EXPOSE 8000
# Liveness never touches the database: this probe does not keep a sleeping one awake.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", \
  "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live')"]
# In exec form, so that SIGTERM reaches the server and it drains.
CMD ["neonkit", "serve", "neonkit_starter.app:app"]
