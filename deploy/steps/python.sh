#!/usr/bin/env bash
# Debian's Python, what makes a PDF out of a page, and the pinned packages.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    ca-certificates python3 python3-venv \
    libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core
apt-get clean
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/venv
/opt/venv/bin/python3 -m pip install --quiet --disable-pip-version-check --no-input \
    --no-cache-dir --no-deps --require-hashes --requirement /opt/restante/requirements.txt
