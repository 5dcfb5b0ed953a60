#!/usr/bin/env bash
# Dovecot as Debian packages it. Nothing of its own configuration is used.
set -euo pipefail

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
    dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-pgsql dovecot-sieve logrotate
apt-get clean
rm -rf /var/lib/apt/lists/*
