package journal

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Lock takes the file at path for this process; the kernel lets go of it however the process ends.
// ErrTaken names the process that has it.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a file descriptor fits
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		_ = f.Close()
		return nil, fmt.Errorf("%w: %s is held by process %s; stop it, or name another directory with --data", ErrTaken, path, holder[:n])
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()))
		if err != nil {
			return nil, fmt.Errorf("write lock: %w", err)
		}
	}
	return f.Close, nil
}

func hostPort(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("log address %q: want host:port: %w", addr, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", 0, fmt.Errorf("log address %q: want a number as port: %w", addr, err)
	}
	if n == 0 {
		n = -1 // NATS' word for any free port
	}
	return host, n, nil
}

// serverLog hands what the embedded server says to our log: its warnings and errors are ours,
// its chat is for debugging. It is also the one place where the server tells that it has failed to
// write and so has given a stream up.
type serverLog struct {
	log    *slog.Logger
	broken *atomic.Bool
}

const givenUp = "ritical write error"

func (s *serverLog) Noticef(format string, v ...any) { s.say(s.log.Debug, format, v) }
func (s *serverLog) Warnf(format string, v ...any)   { s.say(s.log.Debug, format, v) }
func (s *serverLog) Errorf(format string, v ...any) {
	if strings.Contains(format, givenUp) {
		s.broken.Store(true)
	}
	s.say(s.log.Error, format, v)
}
func (s *serverLog) Fatalf(format string, v ...any) { s.say(s.log.Error, format, v) }
func (s *serverLog) Debugf(string, ...any)          {}
func (s *serverLog) Tracef(string, ...any)          {}

func (s *serverLog) say(at func(string, ...any), format string, v []any) {
	at("embedded log", "says", fmt.Sprintf(format, v...))
}
