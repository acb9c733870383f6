#!/bin/sh
# What docker-compose.yml starts, without an engine for containers: the same real programs on loopback, from packages
# and Go modules (deploy/testtools.sh gets them; InfluxDB is 1.8, since 2.x cannot be built so). Ends with Ctrl-C.
#
#   deploy/stack.sh [DIR]     DIR, stack by default, holds data, logs and secrets; it may be one that was used before.
#
# PostgreSQL does not run as root: where this does, it runs as postgres, who must be able to enter DIR.
#
# STACK_PORT, 20000 by default, is the first of twelve ports; PILEWATCH names the program, STACK_PILES the fleet (3000),
# ALERT_URL where Alertmanager sends what the example sends to nobody.
set -eu
root="$(cd "$(dirname "$0")/.." && pwd)"
dir="${1:-stack}"
mkdir -p "$dir" && dir="$(cd "$dir" && pwd)"
port="${STACK_PORT:-20000}"
at() { echo "127.0.0.1:$((port + $1))"; }
http_dashboard=$(at 0) http_gateway=$(at 1) http_ingest=$(at 2) http_simulator=$(at 3)
mqtt=$(at 4) nats=$(at 5) nats_http=$(at 6) influx=$(at 7) prometheus=$(at 8) alertmanager=$(at 9) broker=$(at 10) postgres=$(at 11)

PATH="$root/.tools/bin:$PATH:/usr/sbin:$HOME/go/bin:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)"
if [ -z "${PILEWATCH:-}" ]; then
	PILEWATCH="$dir/pilewatch"
	(cd "$root" && go build -o "$PILEWATCH" .)
fi

pids=""
stop() {
	trap - EXIT INT TERM
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	for pid in $pids; do wait "$pid" 2>/dev/null || true; done
}
trap stop EXIT
trap 'exit 0' INT TERM

start() { # start NAME PROGRAM ARGUMENTS...
	name="$1"
	shift
	"$@" >"$dir/$name.log" 2>&1 &
	pids="$! $pids" # the last is stopped first
}
until_up() { # until_up NAME COMMAND...: at most a minute
	name="$1"
	shift
	n=0
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		if [ "$n" -gt 300 ]; then
			echo "$name does not come up; the end of $dir/$name.log:" >&2
			tail -5 "$dir/$name.log" >&2
			exit 1
		fi
		sleep 0.2
	done
	echo "$name is up"
}

"$root/deploy/secrets.sh" "$dir/secrets"

# The engines, with the configuration that compose uses where it can be used here.
mkdir -p "$dir/nats" "$dir/influxdb" "$dir/mosquitto" "$dir/prometheus" "$dir/alertmanager"
sed -e "s|0.0.0.0:4222|$nats|; s|0.0.0.0:8222|$nats_http|; s|store_dir: /data|store_dir: \"$dir/nats/store\"|" \
	"$root/deploy/nats/nats.conf" >"$dir/nats/nats.conf"
cp "$dir/secrets/nats_auth" "$dir/nats/auth.conf"
start nats nats-server -c "$dir/nats/nats.conf"

as=""
mkdir -p "$dir/postgres"
if [ "$(id -u)" = 0 ]; then
	as="setpriv --reuid=postgres --regid=postgres --clear-groups"
	chown postgres "$dir/postgres"
	$as test -x "$dir/postgres" || { echo "PostgreSQL runs as the user postgres, who cannot enter $dir: choose another directory" >&2; exit 1; }
fi
if [ ! -s "$dir/postgres/data/PG_VERSION" ]; then
	$as sh -c 'umask 077 && cat >"$1"' sh "$dir/postgres/password" <"$dir/secrets/postgres_password"
	(cd "$dir/postgres" && $as initdb -D "$dir/postgres/data" -U pilewatch --auth=scram-sha-256 --pwfile="$dir/postgres/password" --locale=C.UTF-8 --encoding=UTF8) >/dev/null
	rm "$dir/postgres/password"
fi
# shellcheck disable=SC2086 # the words of as are arguments
start postgres $as postgres -D "$dir/postgres/data" -p "${postgres##*:}" -c listen_addresses=127.0.0.1 -c unix_socket_directories=

cat >"$dir/influxdb/influxdb.conf" <<CONF
reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = "$dir/influxdb/meta"
[data]
  dir = "$dir/influxdb/data"
  wal-dir = "$dir/influxdb/wal"
  index-version = "tsi1"
  max-series-per-database = 0
[monitor]
  store-enabled = false
[http]
  bind-address = "$influx"
  flux-enabled = true
  log-enabled = false
CONF
start influxdb influxd -config "$dir/influxdb/influxdb.conf"

rm -f "$dir/mosquitto/passwd"
mosquitto_passwd -b -c "$dir/mosquitto/passwd" pilewatch "$(cat "$dir/secrets/mosquitto_password")"
sed -e "s|^listener 1883|listener ${broker##*:} 127.0.0.1|; s|/mosquitto/data/|$dir/mosquitto/|" "$root/deploy/mosquitto/mosquitto.conf" >"$dir/mosquitto/mosquitto.conf"
[ "$(id -u)" != 0 ] || echo "user root" >>"$dir/mosquitto/mosquitto.conf"
start mosquitto mosquitto -c "$dir/mosquitto/mosquitto.conf"

sed -e "s|/etc/prometheus/|$root/deploy/prometheus/|; s|gateway:9101|$http_gateway|; s|ingest:9102|$http_ingest|; s|dashboard:8080|$http_dashboard|" \
	-e "s|influxdb:8086|$influx|; s|alertmanager:9093|$alertmanager|" "$root/deploy/prometheus/prometheus.yml" >"$dir/prometheus/prometheus.yml"
start prometheus prometheus --config.file="$dir/prometheus/prometheus.yml" --storage.tsdb.path="$dir/prometheus/data" --web.listen-address="$prometheus"
sed -e "s|http://127.0.0.1:9|${ALERT_URL:-http://127.0.0.1:9}|" "$root/deploy/alertmanager/alertmanager.yml" >"$dir/alertmanager/alertmanager.yml"
manager="$(command -v prometheus-alertmanager || command -v alertmanager)"
start alertmanager "$manager" --config.file="$dir/alertmanager/alertmanager.yml" --storage.path="$dir/alertmanager/data" \
	--web.listen-address="$alertmanager" --cluster.listen-address=

# As compose: each part once that on which it depends is healthy.
until_up nats curl -fsS "http://$nats_http/healthz"
until_up influxdb curl -fsS "http://$influx/ping"
curl -fsS -o /dev/null "http://$influx/query" --data-urlencode 'q=CREATE DATABASE "evcs" WITH DURATION 30d NAME "raw"'

until_up postgres pg_isready -q -h 127.0.0.1 -p "${postgres##*:}"

export PILEWATCH_DATA="$dir/data"
export PILEWATCH_REGISTRY_URL="postgres://pilewatch@$postgres/postgres?sslmode=disable" PILEWATCH_REGISTRY_PASSWORD_FILE="$dir/secrets/postgres_password"
at_log="--log-url nats://$nats --log-token-file $dir/secrets/nats_token"
history="--influx-url http://$influx --influx-bucket evcs/raw"
# shellcheck disable=SC2086 # the words above are arguments
{
	# First of all, since it makes the registry its fleet's; it connects once there is a gateway.
	start simulator "$PILEWATCH" simulator run --http "$http_simulator" --broker "tcp://$mqtt" --piles "${STACK_PILES:-3000}"
	until_up registry test -s "$dir/data/fleet.json"
	# An operator that comes by a broker of its own.
	printf 'operator,name\nMA3STACK1,示例运营商\n' | "$PILEWATCH" registry import operators - >/dev/null
	printf 'operator,station,name,township,kind,opened\nMA3STACK1,S1,庄寨镇示例站,371721101,public,2024-05-01\n' | "$PILEWATCH" registry import stations - >/dev/null
	printf 'operator,station,pile,connector,power_kw,opened\nMA3STACK1,S1,P1,1,60,2024-05-01\n' | "$PILEWATCH" registry import piles - >/dev/null

	start gateway "$PILEWATCH" gateway --http "$http_gateway" --mqtt "$mqtt" $at_log \
		--bridge "mqtt://pilewatch@$broker/MA3STACK1?password-file=$dir/secrets/mosquitto_password"
	until_up gateway "$PILEWATCH" ready "http://$http_gateway"
	start ingest "$PILEWATCH" ingest --http "$http_ingest" $at_log $history
	start dashboard "$PILEWATCH" dashboard --http "$http_dashboard" --public $at_log $history
}
until_up ingest "$PILEWATCH" ready "http://$http_ingest"
until_up dashboard "$PILEWATCH" ready "http://$http_dashboard"
until_up simulator "$PILEWATCH" ready "http://$http_simulator"
until_up prometheus curl -fsS "http://$prometheus/-/ready"
until_up alertmanager curl -fsS "http://$alertmanager/-/ready"

cat <<SAID
page http://$http_dashboard   MQTT $mqtt   Prometheus http://$prometheus   Alertmanager http://$alertmanager
example of an operator's broker: $broker, user pilewatch, password in $dir/secrets/mosquitto_password
Ctrl-C stops it all.
SAID

# When one ends, all do: a stack with a hole in it looks like one that works.
while :; do
	for pid in $pids; do
		kill -0 "$pid" 2>/dev/null || { echo "a program has ended; see $dir/*.log" >&2; exit 1; }
	done
	sleep 1
done
