package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Leases end by themselves, so that what a killed process had is another one's soon. A holder that
// has not been able to renew in time gives up before the log would give the lease away.
const (
	ownersStore = "OWNERS"
	leaseLives  = 10 * time.Second
	renewEvery  = 3 * time.Second
	renewWithin = leaseLives - renewEvery/2
)

// Leases says who does what of which there may be only one at a time: judging a partition, say. It
// is safe for concurrent use.
type Leases struct {
	kv     jetstream.KeyValue
	holder string
}

// ErrHeld is returned by Take where another process holds the lease.
var ErrHeld = errors.New("another process holds the lease")

// ErrLost is returned by Keep where the lease has ended: another process may hold it by now.
var ErrLost = errors.New("the lease is lost")

// Leases opens the leases for a process; holder is its name, one token of letters, digits and dashes,
// the same after a restart. Of one name only one process may run.
func (l *Log) Leases(ctx context.Context, holder string) (*Leases, error) {
	for told := false; ; told = true {
		kv, err := l.js.KeyValue(ctx, ownersStore)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			kv, err = l.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket: ownersStore, TTL: leaseLives, Storage: jetstream.FileStorage, Replicas: l.replicas,
			})
		}
		if err == nil {
			return &Leases{kv: kv, holder: holder}, nil
		}
		// A cluster that makes it for several at once, or has lost a server, needs a moment.
		if !told {
			l.log.Warn("leases cannot be opened, waiting for them", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open the leases: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// Join says that this process takes part in the work; it is to be said again every few seconds.
func (l *Leases) Join(ctx context.Context) error {
	if _, err := l.kv.Put(ctx, "member."+l.holder, []byte(l.holder)); err != nil {
		return fmt.Errorf("join the work: %w", err)
	}
	return nil
}

// Leave says that this process takes part no more.
func (l *Leases) Leave(ctx context.Context) error {
	if err := l.kv.Delete(ctx, "member."+l.holder); err != nil {
		return fmt.Errorf("leave the work: %w", err)
	}
	return nil
}

// Members counts the processes that take part, this one included.
func (l *Leases) Members(ctx context.Context) (int, error) {
	keys, err := l.kv.ListKeysFiltered(ctx, "member.*")
	if err != nil {
		return 0, fmt.Errorf("list who takes part: %w", err)
	}
	others := 0
	for key := range keys.Keys() {
		if strings.TrimPrefix(key, "member.") != l.holder {
			others++
		}
	}
	return others + 1, nil
}

// A Lease is held until it is given back, or is lost.
type Lease struct {
	kv    jetstream.KeyValue
	name  string
	value []byte
	last  uint64 // revision of its newest renewal
	ends  time.Time
	Epoch uint64 // higher than that of whoever held it before
}

// Take takes a lease that nobody holds, or that this process's forerunner of the same name has left
// behind. ErrHeld.
func (l *Leases) Take(ctx context.Context, name string) (*Lease, error) {
	asked := time.Now()
	revision, err := l.kv.Create(ctx, name, []byte(l.holder))
	if errors.Is(err, jetstream.ErrKeyExists) {
		revision, err = l.inherit(ctx, name)
	}
	if err != nil {
		return nil, fmt.Errorf("take lease %s: %w", name, err)
	}
	return &Lease{kv: l.kv, name: name, value: []byte(l.holder), last: revision, ends: asked.Add(renewWithin), Epoch: revision}, nil
}

func (l *Leases) inherit(ctx context.Context, name string) (revision uint64, err error) {
	held, err := l.kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) { // it has just ended
		return l.kv.Create(ctx, name, []byte(l.holder))
	}
	if err != nil {
		return 0, err
	}
	if string(held.Value()) != l.holder {
		return 0, ErrHeld
	}
	return l.kv.Update(ctx, name, []byte(l.holder), held.Revision())
}

// Keep renews the lease until ctx ends, and then gives nil. ErrLost where it could not in time, or
// another process has it.
func (l *Lease) Keep(ctx context.Context) error {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
		}
		for { // a log that is away for a moment is asked again while there is time
			asked := time.Now()
			if !asked.Before(l.ends) {
				return fmt.Errorf("renew lease %s: %w", l.name, ErrLost)
			}
			within, cancel := context.WithDeadline(ctx, l.ends)
			revision, err := l.kv.Update(within, l.name, l.value, l.last)
			cancel()
			if err == nil {
				l.last, l.ends = revision, asked.Add(renewWithin)
				break
			}
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end is not a loss
			}
			var refused *jetstream.APIError
			if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
				return fmt.Errorf("renew lease %s: %w", l.name, ErrLost)
			}
			pause := time.NewTimer(retryFirst)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
		}
	}
}

// Release gives the lease back, so that nobody has to wait for its end. After Keep has ended.
func (l *Lease) Release(ctx context.Context) error {
	if err := l.kv.Delete(ctx, l.name, jetstream.LastRevision(l.last)); err != nil {
		return fmt.Errorf("release lease %s: %w", l.name, err)
	}
	return nil
}
