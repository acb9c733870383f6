package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
)

// ErrPolicy says that a policy is plain, and yet cannot come into force.
var ErrPolicy = errors.New("policy is refused")

// A PolicyFile is a version of the policy as it was imported.
type PolicyFile struct {
	Version string
	From    time.Time
	Entered time.Time // zero: the program carries it
	File    []byte
}

// ImportPolicy takes a policy file. It is refused, and what is in force stays, with a *policy.Error
// that names every wrong line, or with ErrPolicy where its version is there with another text, or
// where it would begin before today and is not the first. The same file again changes nothing.
func (r *Registry) ImportPolicy(ctx context.Context, file []byte) (*policy.Policy, error) {
	p, err := policy.Parse(file)
	if err != nil {
		return nil, err
	}
	now := r.now()
	today := startOfDay(now)
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		files, err := readPolicies(ctx, tx)
		if err != nil {
			return err
		}
		taken := p.Version == policy.Default().Version
		for _, f := range files {
			if f.Version == p.Version && string(f.File) == string(file) {
				return nil
			}
			taken = taken || f.Version == p.Version
		}
		if taken {
			return fmt.Errorf("%w: version %s is there already, with another text: a version is never changed, give it a new name", ErrPolicy, p.Version)
		}
		if len(files) > 0 && p.From.Before(today) {
			return fmt.Errorf("%w: from %s is before today, %s: what is judged stays judged", ErrPolicy, dateText(p.From), dateText(today))
		}
		if _, err := nextRev(ctx, tx, "policies"); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO policies (version, from_day, file, entered) VALUES (?, ?, ?, ?)",
			p.Version, p.From.UnixMilli(), string(file), now.UnixMilli())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("import policy %s: %w", p.Version, err)
	}
	return p, nil
}

// PolicyFiles gives the version that the program carries and then the imported ones, in the order in
// which they came.
func (r *Registry) PolicyFiles(ctx context.Context) ([]PolicyFile, error) {
	imported, err := readPolicies(ctx, r.read)
	if err != nil {
		return nil, err
	}
	carried := policy.Default()
	return append([]PolicyFile{{Version: carried.Version, From: carried.From, File: policy.DefaultFile()}}, imported...), nil
}

// Policies gives all versions, to be asked which one is in force on a day.
func (r *Registry) Policies(ctx context.Context) (policy.Policies, error) {
	return loadPolicies(ctx, r.read)
}

func loadPolicies(ctx context.Context, q querier) (policy.Policies, error) {
	files, err := readPolicies(ctx, q)
	if err != nil {
		return nil, err
	}
	versions := make([]*policy.Policy, len(files))
	for i, f := range files {
		if versions[i], err = policy.Parse(f.File); err != nil {
			return nil, fmt.Errorf("read policy %s: %w", f.Version, err)
		}
	}
	return policy.NewPolicies(versions...), nil
}

func readPolicies(ctx context.Context, q querier) ([]PolicyFile, error) {
	var all []PolicyFile
	err := each(ctx, q, func(rows *sql.Rows) error {
		var f PolicyFile
		var from, entered sql.NullInt64
		if err := rows.Scan(&f.Version, &from, &entered, &f.File); err != nil {
			return err
		}
		f.From, f.Entered = fromMillis(from, charge.Zone), fromMillis(entered, charge.Zone)
		all = append(all, f)
		return nil
	}, "SELECT version, from_day, entered, file FROM policies ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	return all, nil
}

// startOfDay is 00:00 in Asia/Shanghai of the day in which at lies.
func startOfDay(at time.Time) time.Time {
	year, month, day := at.In(charge.Zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, charge.Zone)
}
