package ingest

import "time"

// Config is ingest's settings. The defaults suit one machine with the embedded history.
type Config struct {
	InfluxURL       string `help:"InfluxDB to write history to, such as http://127.0.0.1:8086; empty keeps it in a file." env:"INFLUX_URL" placeholder:"URL"`
	InfluxTokenFile string `help:"File with InfluxDB's token (2.x), or user:password (1.8+)." env:"INFLUX_TOKEN_FILE" placeholder:"FILE" type:"path"`
	InfluxOrg       string `help:"InfluxDB's organisation (2.x)." env:"INFLUX_ORG"`
	InfluxBucket    string `help:"InfluxDB's bucket; database/retention policy on 1.8." default:"evcs/raw" env:"INFLUX_BUCKET"`

	FlushEvery time.Duration `help:"Longest that a reading waits before it is written to history." default:"200ms" env:"FLUSH_EVERY"`
	FlushSize  int           `help:"Readings written to history together." default:"5000" env:"FLUSH_SIZE"`
}

// Defaults is the configuration of ingest with the embedded history.
func Defaults() *Config {
	return &Config{InfluxBucket: "evcs/raw", FlushEvery: 200 * time.Millisecond, FlushSize: 5000}
}
