package cases

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// An Entry is one step on the record. The record is append-only: each entry carries the hash of the one
// before it, so that none can be changed, taken out or put in between without all that follow.
type Entry struct {
	Seq      int64      `json:"seq"` // from 1, without gaps
	Case     string     `json:"case"`
	At       time.Time  `json:"at"`             // UTC, by the platform's clock
	Person   string     `json:"person"`         // the account's name
	Name     string     `json:"name,omitempty"` // what people call that person
	Role     Role       `json:"role"`
	Action   Action     `json:"action"` // or "read"
	From     State      `json:"from"`
	To       State      `json:"to"`
	Text     string     `json:"text"`
	Evidence []Evidence `json:"evidence"`
	Detail   *Detail    `json:"detail,omitempty"`
	Previous string     `json:"previous"`       // the hash of the entry before, "" for the first
	Hash     string     `json:"hash,omitempty"` // SHA-256 of all the above, hex
}

// Evidence is a document that an entry rests on: the dossier, a photo, a receipt.
type Evidence struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Read is the action of an entry that tells who looked at a case; it changes no state.
const Read Action = "read"

// Chained gives e as the entry after last (nil for the first), with its number, the hash before it and its
// own. Texts that are not UTF-8 are refused: what is hashed must be what was written.
func Chained(last *Entry, e Entry) (Entry, error) {
	e.Seq, e.Previous = 1, ""
	if last != nil {
		e.Seq, e.Previous = last.Seq+1, last.Hash
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	hash, err := e.hash()
	if err != nil {
		return Entry{}, fmt.Errorf("chain entry %d of case %q: %w", e.Seq, e.Case, err)
	}
	e.Hash = hash
	return e, nil
}

func (e Entry) hash() (string, error) {
	texts := []string{e.Case, e.Person, e.Name, string(e.Role), string(e.Action), string(e.From), string(e.To), e.Text, e.Previous}
	for _, ev := range e.Evidence {
		texts = append(texts, ev.Name, ev.SHA256)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return "", fmt.Errorf("text %q is not UTF-8", s)
		}
	}
	e.Hash = ""
	canonical, err := canonicalJSON(e)
	if err != nil {
		return "", err
	}
	return digest(canonical), nil
}

// A BrokenError names the first entry of a record that is not what was written.
type BrokenError struct {
	Index int   // in the list that was verified
	Seq   int64 // as the entry says
	What  string
}

// Error says which entry it is and what is wrong with it.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("record entry %d (at place %d of the list): %s", e.Seq, e.Index+1, e.What)
}

// Verify recomputes a record from its first entry on. It gives a *BrokenError for the first entry that was
// changed, or before which one was taken out or put in. That entries were cut off at the end is seen only
// against a head that was kept elsewhere: head is that hash, "" for none.
func Verify(entries []Entry, head string) error {
	seen := head == ""
	previous := ""
	for i, e := range entries {
		broken := func(what string) error { return &BrokenError{i, e.Seq, what} }
		if e.Seq != int64(i)+1 {
			return broken(fmt.Sprintf("number %d was expected: an entry is missing, or one too many", i+1))
		}
		if e.Previous != previous {
			return broken("it does not follow the entry before it")
		}
		hash, err := e.hash()
		if err != nil {
			return broken(err.Error())
		}
		if hash != e.Hash {
			return broken("it was changed: its hash is not that of its content")
		}
		previous = e.Hash
		seen = seen || e.Hash == head
	}
	if !seen {
		return &BrokenError{len(entries), int64(len(entries)) + 1, "the head " + head + " that was sent out is not on the record: entries were cut off or all written anew"}
	}
	return nil
}

// canonicalJSON writes v by RFC 8785 (JSON Canonicalization Scheme), so that whoever has the values gets the
// same bytes, in whatever language.
func canonicalJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	raw := jsontext.Value(b)
	if err := raw.Canonicalize(); err != nil {
		return nil, err
	}
	return raw, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

var errNotCanonical = errors.New("it is not in its canonical form (RFC 8785): some byte was changed")

// JSON is how an entry is kept.
func (e Entry) JSON() ([]byte, error) { return canonicalJSON(e) }

// ReadEntry reads what JSON has written. It verifies nothing.
func ReadEntry(text []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return Entry{}, fmt.Errorf("read entry of the record: %w", err)
	}
	return e, nil
}

// VerifyEntry tells whether an entry is what was written, by itself alone: a case's part of the record has gaps.
func VerifyEntry(e Entry) error {
	if hash, err := e.hash(); err != nil || hash != e.Hash {
		return &BrokenError{0, e.Seq, "it was changed: its hash is not that of its content"}
	}
	return nil
}
