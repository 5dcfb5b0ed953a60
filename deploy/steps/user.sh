#!/usr/bin/env bash
# The user that everything runs as, and the folders that volumes are laid over. A new volume
# takes its owner from the folder in the image, and what lies in it.
set -euo pipefail

groupadd --system --gid 10025 restante
useradd --system --uid 10025 --gid restante --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin restante
install -d -m 0755 /opt/restante
install -d -m 0700 -o restante -g restante /var/lib/restante \
    /var/lib/restante/{celery,checkpoints,dovecot,dovecot/{log,run,state},exports,mail,sent,tls}
