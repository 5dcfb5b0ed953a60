#!/usr/bin/env bash
# PostgreSQL's image runs this once, on an empty volume. The panel's role owns its database and
# may make the mail server's role; it is no superuser.
set -euo pipefail

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat /run/secrets/panel_database_password`
CREATE ROLE restante LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE restante OWNER restante;
SQL
