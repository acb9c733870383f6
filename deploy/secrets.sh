#!/bin/sh
# Makes the secrets that docker-compose.yml names, where they are missing. None has a default.
set -eu
dir="$(dirname "$0")/secrets"
mkdir -p "$dir"
for name in influx_password influx_token; do
	[ -s "$dir/$name" ] && continue
	(umask 022 && head -c 32 /dev/urandom | base64 | tr -d '+/=\n' >"$dir/$name")
	echo "made $dir/$name"
done
