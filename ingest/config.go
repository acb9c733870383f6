package ingest

import "time"

// Config is ingest's settings. The defaults suit one machine; docs/history.md has the measurement
// behind those of the history.
type Config struct {
	FlushEvery     time.Duration `help:"Longest that a reading waits before it is written to history." default:"200ms" env:"FLUSH_EVERY"`
	FlushSize      int           `help:"Readings written to history together." default:"5000" env:"FLUSH_SIZE"`
	HistoryWriters int           `help:"Writes to history that may be under way at once." default:"4" env:"HISTORY_WRITERS"`
	HeadTo         []string      `help:"Where the end of the record of cases goes each day beside the operators: e-mail addresses and https:// URLs outside this platform." env:"HEAD_TO" placeholder:"ADDRESS"`
	SMTP           SMTPConfig    `embed:"" prefix:"smtp-" envprefix:"SMTP_"`
	SigningKey     string        `kong:"-"` // file of the Ed25519 key by which webhooks are signed, made where it is missing
	Name           string        `kong:"-"` // among the ingests that share the work, the same after a restart; "": another one at each start
}

// SMTPConfig is the mail server by which reminders and the end of the record go out.
type SMTPConfig struct {
	Server       string `help:"Mail server (host:port); empty sends no e-mail, and what waits for it is kept." env:"SERVER" placeholder:"ADDR"`
	From         string `help:"Sender's address." env:"FROM" placeholder:"ADDRESS"`
	User         string `help:"User name, where the server asks for one; then TLS is demanded." env:"USER"`
	PasswordFile string `help:"File with its password." env:"PASSWORD_FILE" type:"path" placeholder:"FILE"`
}

// Defaults is the configuration of ingest on one machine.
func Defaults() *Config {
	return &Config{FlushEvery: 200 * time.Millisecond, FlushSize: 5000, HistoryWriters: 4}
}
