#!/bin/sh
# Installs the real programs that the tests talk to, where they are missing: Mosquitto and its
# clients, Chromium with a Chinese font, Prometheus, Alertmanager and PostgreSQL (Debian packages), and InfluxDB
# 1.8.10 and NATS (from Go modules, into .tools/bin). Says what it cannot install and how to get it,
# and fails.
set -eu
cd "$(dirname "$0")/.."

packages=""
need() { # need PROGRAM PACKAGE
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || packages="$packages $2"
}
need mosquitto mosquitto
need mosquitto_pub mosquitto-clients
need chromium chromium
need curl curl
need promtool prometheus
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || packages="$packages postgresql"
need amtool prometheus-alertmanager
fc-list 2>/dev/null | grep -q "Noto Sans CJK" || packages="$packages fonts-noto-cjk"

if [ -n "$packages" ]; then
	as=""
	if [ "$(id -u)" != 0 ]; then
		if sudo -n true 2>/dev/null; then as="sudo -n"; else
			echo "tests need Debian packages that are missing, and there is no right to install them:" >&2
			echo "  apt-get install$packages" >&2
			echo "make test SHORT=1 leaves out the tests that need them." >&2
			exit 1
		fi
	fi
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "tests need these programs, and this system has no apt-get to install them:$packages" >&2
		echo "make test SHORT=1 leaves out the tests that need them." >&2
		exit 1
	fi
	echo "installing$packages"
	$as apt-get update -qq
	# shellcheck disable=SC2086 # one word a package
	DEBIAN_FRONTEND=noninteractive $as apt-get install -y -qq --no-install-recommends $packages fontconfig >/dev/null
fi

if [ ! -x .tools/bin/influxd ] && [ -z "${PILEWATCH_TEST_INFLUXD:-}" ] && ! command -v influxd >/dev/null 2>&1; then
	echo "building InfluxDB 1.8.10"
	GOBIN="$PWD/.tools/bin" go install github.com/influxdata/influxdb/cmd/influxd@v1.8.10
fi

if [ ! -x .tools/bin/nats-server ] && [ -z "${PILEWATCH_TEST_NATS_SERVER:-}" ] && ! command -v nats-server >/dev/null 2>&1; then
	echo "building NATS 2.15.2"
	GOBIN="$PWD/.tools/bin" go install github.com/nats-io/nats-server/v2@v2.15.2
fi
