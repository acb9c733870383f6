package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"pilewatch/internal/journal"
)

// A Session is one that an operator's broker keeps for a gateway under a client identifier. Some
// brokers give a session of a $share group its part of the messages though nobody comes for them,
// so a gateway remembers its own and ends what its settings no longer name.
type Session struct {
	Client  string   `json:"client"`  // the MQTT client identifier
	Broker  string   `json:"broker"`  // tcp://host:port or ssl://host:port
	Setting string   `json:"setting"` // of --bridge, which holds no secret
	Filters []string `json:"filters"` // that it may be subscribed to
	// Orphan tells that no bridge of the settings uses it and that it could not be ended yet.
	Orphan bool `json:"orphan,omitempty"`
}

// A Keeper is a gateway that has sessions at brokers.
type Keeper struct {
	Name     string
	Running  bool
	Sessions []Session
}

const sessionsFile = "bridge-sessions-" // before the gateway's name and .json

// Sessions lists the gateways that have, or had, bridges with this data directory, by name.
func Sessions(data string) ([]Keeper, error) {
	files, err := filepath.Glob(filepath.Join(data, sessionsFile+"*.json"))
	if err != nil {
		return nil, fmt.Errorf("look for bridges' sessions: %w", err)
	}
	var all []Keeper
	for _, file := range files {
		k := Keeper{Name: strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), sessionsFile), ".json")}
		if k.Sessions, err = readSessions(file); err != nil {
			return nil, err
		}
		unlock, err := journal.Lock(lockOf(file))
		switch {
		case errors.Is(err, journal.ErrTaken):
			k.Running = true
		case err != nil:
			return nil, err
		default:
			if err := unlock(); err != nil {
				return nil, fmt.Errorf("leave the lock of %s: %w", file, err)
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func lockOf(file string) string { return strings.TrimSuffix(file, ".json") + ".lock" }

func readSessions(file string) (all []Session, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // in our own data directory
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read bridges' sessions of %s: %w", file, err)
	}
	return all, nil
}

// A sessionBook remembers the sessions of a gateway over its restarts. What it says is written
// before a broker is asked for it: a session may be missing at the broker, never in the book.
type sessionBook struct {
	file   string
	unlock func() error

	mu  sync.Mutex
	all []Session
}

// openSessionBook takes the book of the gateway of this name for this process.
func openSessionBook(data, name string) (*sessionBook, error) {
	b := &sessionBook{file: filepath.Join(data, sessionsFile+name+".json")}
	var err error
	if b.unlock, err = journal.Lock(lockOf(b.file)); err != nil {
		return nil, fmt.Errorf("take the bridges' sessions of --name %s: %w, or give each gateway a --name of its own", name, err)
	}
	if b.all, err = readSessions(b.file); err != nil {
		return nil, errors.Join(err, b.unlock())
	}
	return b, nil
}

// begin notes that these sessions are to be. It gives what each had subscribed to before, in the
// same order, and the sessions that no bridge uses any more.
func (b *sessionBook) begin(wanted []Session) (before [][]string, orphans []Session, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.all
	b.all = nil
	for _, w := range wanted {
		i := slices.IndexFunc(known, func(s Session) bool { return s.Client == w.Client && s.Broker == w.Broker })
		if i < 0 {
			before = append(before, nil)
		} else {
			before = append(before, known[i].Filters)
			known = slices.Delete(known, i, i+1)
		}
		w.Filters = union(w.Filters, before[len(before)-1])
		b.all = append(b.all, w)
	}
	for _, s := range known {
		s.Orphan = true
		orphans, b.all = append(orphans, s), append(b.all, s)
	}
	return before, orphans, b.write()
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// subscribed notes that the broker knows these filters of the session, and no others.
func (b *sessionBook) subscribed(client, broker string, filters []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.all {
		if s := &b.all[i]; s.Client == client && s.Broker == broker {
			if slices.Equal(s.Filters, filters) {
				return nil
			}
			s.Filters = filters
		}
	}
	return b.write()
}

// ended forgets a session that the broker no longer has.
func (b *sessionBook) ended(client, broker string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = slices.DeleteFunc(b.all, func(s Session) bool { return s.Client == client && s.Broker == broker })
	return b.write()
}

// write puts the whole book there or leaves the one before; one with nothing in it is removed.
func (b *sessionBook) write() error {
	if len(b.all) == 0 {
		if err := os.Remove(b.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the bridges' sessions: %w", err)
		}
		return nil
	}
	text, err := json.MarshalIndent(b.all, "", "  ")
	if err == nil {
		err = os.WriteFile(b.file+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(b.file+".new", b.file)
	}
	if err != nil {
		return fmt.Errorf("write the bridges' sessions: %w", err)
	}
	return nil
}

func (b *sessionBook) close() error {
	if b == nil {
		return nil
	}
	return b.unlock()
}
