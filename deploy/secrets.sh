#!/bin/sh
# Makes the secrets that docker-compose.yml names, where they are missing. None has a default.
# deploy/secrets.sh DIR makes them elsewhere.
set -eu
dir="${1:-$(dirname "$0")/secrets}"
mkdir -p "$dir" && chmod 700 "$dir" # others on this machine are kept out here
umask 022 # containers read the files as users of their own
make() { # make NAME: reads the content
	[ -s "$dir/$1" ] && return
	cat >"$dir/$1"
	echo "made $dir/$1"
}
for name in influx_password influx_token nats_token postgres_password mosquitto_password grafana_password; do
	head -c 32 /dev/urandom | base64 | tr -d '+/=\n' | make "$name"
done
printf 'token: "%s"\n' "$(cat "$dir/nats_token")" | make nats_auth
