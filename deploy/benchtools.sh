#!/bin/sh
# Builds the programs that the benchmarks compare with, where they are missing: Telegraf 1.37.2, with
# the parts that are used and no others (from Go modules, into .tools/bin), beside those of the tests.
set -eu
cd "$(dirname "$0")/.."
deploy/testtools.sh
if [ ! -x .tools/bin/telegraf ] && command -v telegraf >/dev/null 2>&1; then
	exit
fi
parts='custom,inputs.file,inputs.mqtt_consumer,outputs.discard,outputs.influxdb_v2,parsers.influx,parsers.json'
if [ ! -x .tools/bin/telegraf ] || ! go version -m .tools/bin/telegraf | grep -q -- "-tags=$parts\$"; then
	echo "building Telegraf 1.37.2"
	GOBIN="$PWD/.tools/bin" go install -tags "$parts" \
		github.com/influxdata/telegraf/cmd/telegraf@v1.37.2
fi
