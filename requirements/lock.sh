#!/bin/sh
# Resolve every lock anew, for Python 3.11 and later, with hashes and without a registry's address.
# They are installed with --no-deps --require-hashes, so what is written here is all that is installed.
set -eu
cd "$(dirname "$0")/.."
compile="uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet"
$compile --all-extras --group dev -o requirements/dev.txt
$compile -c requirements/dev.txt --group build -o requirements/core.txt
$compile -c requirements/dev.txt --extra demo --group build -o requirements/demo.txt
$compile -c requirements/dev.txt --extra predict --extra data --extra otel -o requirements/serve.txt
