#!/bin/sh
# What building and running images needs, from Debian alone, and a PostgreSQL to try the image with.
set -eu
missing=""
for command in buildah podman runc catatonit mmdebstrap; do
    command -v "$command" > /dev/null || missing="$missing $command"
done
ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || missing="$missing postgresql"
if [ -n "$missing" ]; then
    apt-get update --quiet
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing
fi
