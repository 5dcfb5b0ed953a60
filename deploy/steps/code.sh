#!/usr/bin/env bash
# Compiles the program once, because it runs where nothing can be written.
set -euo pipefail

cd /opt/restante
/opt/venv/bin/python3 -m compileall -q accounts hosting mailstore
