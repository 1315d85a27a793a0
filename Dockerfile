# Roadworthy with what it takes to serve: the core, ONNX models, retrieval, data contracts, OpenTelemetry.
#
#   docker build -t roadworthy .
#   docker run --rm -v "$PWD:/project" --user "$(id -u)" roadworthy init /project/shop
#
# A container is reached from outside, so the server in it listens on all addresses. That needs a key
# that could lock others out:
#
#   docker run --rm -v "$PWD/shop:/project" --user "$(id -u)" roadworthy keys create --scopes admin,answer,read
#   docker run -v "$PWD/shop:/project" --user "$(id -u)" -p 127.0.0.1:8700:8700 roadworthy up --host 0.0.0.0
#
# The project's folder holds its state in .roadworthy/; the user of the container must be able to write there.

FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements/core.txt requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements/core.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m hatchling build -t wheel -d /wheels

FROM python:3.11-slim
COPY requirements/serve.txt /tmp/serve.txt
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/serve.txt && rm /tmp/serve.txt
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --no-deps --no-index /tmp/wheels/*.whl && rm -r /tmp/wheels
RUN useradd --uid 10001 --no-create-home roadworthy && install -d -o roadworthy /project
USER roadworthy
WORKDIR /project
EXPOSE 8700
# The server writes where it listens beside what it serves, so that another `--port` is found too.
HEALTHCHECK CMD ["python", "-c", "import json, urllib.request as r; r.urlopen(json.load(open('.roadworthy/serving.lock'))['address'] + '/healthz', timeout=2)"]
ENTRYPOINT ["roadworthy"]
CMD ["--help"]
