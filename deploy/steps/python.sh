#!/usr/bin/env bash
# Debian's Python, and the pinned packages that the program runs on.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    ca-certificates python3 python3-venv
apt-get clean
rm -rf /var/lib/apt/lists/*
python3 -m venv /opt/venv
/opt/venv/bin/python3 -m pip install --quiet --disable-pip-version-check --no-input \
    --no-cache-dir --no-deps --require-hashes --requirement /opt/restante/requirements.txt
