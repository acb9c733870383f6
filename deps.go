package main

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/alecthomas/kong-yaml"
	_ "github.com/chromedp/chromedp"
	_ "github.com/eclipse/paho.golang/paho"
	_ "github.com/eclipse/paho.mqtt.golang"
	_ "github.com/getkin/kin-openapi/openapi3"
	_ "github.com/go-faster/jx"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/gorilla/websocket"
	_ "github.com/influxdata/influxdb-client-go/v2"
	_ "github.com/influxdata/line-protocol/v2/lineprotocol"
	_ "github.com/mochi-mqtt/server/v2"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/nats-io/nats.go/jetstream"
	_ "github.com/pressly/goose/v3"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/prometheus/client_golang/prometheus/testutil"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/time/rate"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid"
	_ "github.com/hashicorp/golang-lru/v2"
	_ "github.com/andybalholm/brotli"
	_ "github.com/prometheus/common/expfmt"
	_ "go.uber.org/goleak"
)

func main() {}
