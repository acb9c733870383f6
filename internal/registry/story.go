package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Story says that the log of this data directory begins with a simulated past: all that is shown is a demo's.
type Story struct {
	Name       string    `json:"name"`
	Until      time.Time `json:"until"`      // its end, which was then the real now
	Partitions int       `json:"partitions"` // of the log
	Messages   uint64    `json:"messages"`   // the last sequence of the log that is the story's; while it is being written, about
	Told       bool      `json:"told"`       // all of it is in the log
}

// storySetting names the story in the table of settings.
const storySetting = "story"

// SetStory notes the story that the log begins with.
func (r *Registry) SetStory(ctx context.Context, s Story) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("note the story: %w", err)
	}
	err = r.inWrite(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO setting (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, storySetting, string(text))
		return err
	})
	if err != nil {
		return fmt.Errorf("note the story: %w", err)
	}
	return nil
}

// Story gives the story that the log begins with, nil where it begins with real readings.
func (r *Registry) Story(ctx context.Context) (*Story, error) {
	var text string
	err := r.read.QueryRowContext(ctx, "SELECT value FROM setting WHERE name = ?", storySetting).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is the usual case, and no error
	}
	if err != nil {
		return nil, fmt.Errorf("read the story: %w", err)
	}
	s := &Story{}
	if err := json.Unmarshal([]byte(text), s); err != nil {
		return nil, fmt.Errorf("read the story: %w", err)
	}
	return s, nil
}

// StoryJudged tells how much of the story health has judged and saved, in percent.
func (r *Registry) StoryJudged(ctx context.Context, s *Story) (int, error) {
	partitions, err := r.Partitions(ctx)
	if err != nil {
		return 0, err
	}
	if len(partitions) < s.Partitions || s.Messages == 0 {
		return 0, nil
	}
	judged := partitions[0].LogSeq
	for _, p := range partitions {
		judged = min(judged, p.LogSeq)
	}
	if s.Told && judged+uint64(s.Partitions) > s.Messages { //nolint:gosec // 64 at most
		return 100, nil // each partition's last message is among the story's last ones
	}
	return int(min(judged*100/s.Messages, 99)), nil //nolint:gosec // a percentage
}
