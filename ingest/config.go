package ingest

import "time"

// Config is ingest's settings. The defaults suit one machine; docs/history.md has the measurement
// behind those of the history.
type Config struct {
	FlushEvery     time.Duration `help:"Longest that a reading waits before it is written to history." default:"200ms" env:"FLUSH_EVERY"`
	FlushSize      int           `help:"Readings written to history together." default:"5000" env:"FLUSH_SIZE"`
	HistoryWriters int           `help:"Writes to history that may be under way at once." default:"4" env:"HISTORY_WRITERS"`
	Name           string        `kong:"-"` // among the ingests that share the work, the same after a restart; "": another one at each start
}

// Defaults is the configuration of ingest on one machine.
func Defaults() *Config {
	return &Config{FlushEvery: 200 * time.Millisecond, FlushSize: 5000, HistoryWriters: 4}
}
