#!/bin/sh
# What building and running images needs, from Debian alone.
set -eu
for command in buildah podman runc catatonit mmdebstrap; do
    command -v "$command" > /dev/null || missing="${missing:-} $command"
done
if [ -n "${missing:-}" ]; then
    apt-get update --quiet
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing
fi
