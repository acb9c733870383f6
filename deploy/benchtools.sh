#!/bin/sh
# Builds the programs that the benchmarks compare with, where they are missing: Telegraf 1.37.2, with
# the parts that are used and no others (from Go modules, into .tools/bin), beside those of the tests.
set -eu
cd "$(dirname "$0")/.."
deploy/testtools.sh
if [ ! -x .tools/bin/telegraf ] && ! command -v telegraf >/dev/null 2>&1; then
	echo "building Telegraf 1.37.2"
	GOBIN="$PWD/.tools/bin" go install \
		-tags 'custom,inputs.mqtt_consumer,outputs.influxdb_v2,outputs.influxdb,parsers.json_v2,parsers.influx,parsers.json' \
		github.com/influxdata/telegraf/cmd/telegraf@v1.37.2
fi
