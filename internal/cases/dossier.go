package cases

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Dossier is all that a suspicion rests on, frozen with it and kept for good. Times of the device and of
// the gateway stand beside each other; minutes are those of charge.DayMinutes.
type Dossier struct {
	Case     string    `json:"case"`
	Pile     string    `json:"pile"` // {operator}:{pile}
	Serial   string    `json:"serial"`
	Known    []Name    `json:"known"` // under which names the serial number was known, oldest first
	Station  string    `json:"station"`
	Township string    `json:"township"`
	Frozen   time.Time `json:"frozen"`

	Grounds    []Ground       `json:"grounds"`
	Changes    []StatusChange `json:"changes"` // every one in the window
	Days       []Day          `json:"days"`
	Excuses    []Excuse       `json:"excuses"` // considered, granted or not
	Rejects    []Reject       `json:"rejects"`
	Platform   PlatformRecord `json:"platform"`
	Neighbours []Neighbour    `json:"neighbours"` // of the same operator and township, that were up
	Others     int            `json:"others"`     // piles of the operator there, up or not
	Inspected  []Inspected    `json:"inspected"`  // at random, in the window
	Versions   Versions       `json:"versions"`
}

// An Inspected is what a random inspection found at the pile.
type Inspected struct {
	Inspection

	Text string `json:"text"`
}

// A Name is an operator and number under which a pile was run.
type Name struct {
	Operator string    `json:"operator"`
	Pile     string    `json:"pile"`
	From     time.Time `json:"from"`
	Document string    `json:"document"` // of the transfer
}

// A Ground is a rule that holds.
type Ground struct {
	Rule    string    `json:"rule"`
	Policy  string    `json:"policy"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Usable  int64     `json:"usable_min"`
	Out     int64     `json:"out_min"`
	Fault   int64     `json:"fault_min"`
	Unknown int64     `json:"unknown_min"`
	Excused int64     `json:"excused_min"`
	Heard   int64     `json:"heard_min"`
	// By the meters, in the window: what the pile delivered, and for no_energy what others did, a mean a pile.
	EnergyWh  int64 `json:"energy_wh"`
	StationWh int64 `json:"station_others_wh"`
	AreaWh    int64 `json:"area_others_wh"`
}

// A StatusChange is that a connector began to stand otherwise. The first of each may be from before the window: by it
// the connector stood at its begin.
type StatusChange struct {
	Connector string    `json:"connector"`
	Standing  string    `json:"standing"`    // usable, offline, fault, silent, lapsed (the status holds no longer)
	At        time.Time `json:"at,omitzero"` // the device's clock; none where time alone brought it
	Received  time.Time `json:"received"`    // the gateway's
	Partition int       `json:"partition"`
	Sequence  int64     `json:"sequence"` // in the log
	Status    int       `json:"status"`
	Fault     string    `json:"fault"`
}

// A Day is the minutes of one day of the pile, or of one connector.
type Day struct {
	Date      string `json:"date"`
	Connector string `json:"connector"` // "" for the pile, the union of its connectors
	Usable    int    `json:"usable_min"`
	Excused   int    `json:"excused_min"`
	Out       int    `json:"out_min"`
	Fault     int    `json:"fault_min"`
	Unknown   int    `json:"unknown_min"`
	Heard     int    `json:"heard_min"`
	EnergyWh  int64  `json:"energy_wh"`
}

// An Excuse is one that was considered.
type Excuse struct {
	ID       int64     `json:"id"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Cause    string    `json:"cause"`
	Document string    `json:"document"`
}

// A Reject counts messages of the pile that could not be used.
type Reject struct {
	Date   string `json:"date"`
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// A PlatformRecord is what the platform itself missed in the window.
type PlatformRecord struct {
	UpMinutes   int64    `json:"up_min"`
	DownMinutes int64    `json:"down_min"`
	Outages     []Outage `json:"outages"`      // all that make up DownMinutes
	Messages    int64    `json:"messages"`     // of the operator, in the months of the window
	DelayP50MS  int64    `json:"delay_p50_ms"` // received − time of those: half of them took at most so long; counted in steps
	DelayP99MS  int64    `json:"delay_p99_ms"` // so do 99 %; -1 where it was over a day
}

// An Outage is a time in which no gateway of the platform was there.
type Outage struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// A Neighbour is another pile that was heard in the window: the way to us was open.
type Neighbour struct {
	Pile   string `json:"pile"`
	Usable int64  `json:"usable_min"`
	Heard  int64  `json:"heard_min"`
}

// Versions are those by which all this was computed.
type Versions struct {
	Registry int64  `json:"registry"` // its rev
	Policy   string `json:"policy"`
	Program  string `json:"program"`
}

// dossierFile is how a dossier leaves the platform: in canonical JSON (RFC 8785), with the SHA-256 of the
// dossier and of each of its fields, so that a change is not only found but placed.
type dossierFile struct {
	Dossier  jsontext.Value    `json:"dossier"`
	Sections map[string]string `json:"sections"`
	SHA256   string            `json:"sha256"`
}

// Freeze gives the dossier's file and its hash.
func (d *Dossier) Freeze() (file []byte, hash string, err error) {
	canonical, err := canonicalJSON(d)
	if err != nil {
		return nil, "", fmt.Errorf("freeze dossier of case %q: %w", d.Case, err)
	}
	sections, err := sectionHashes(canonical)
	if err != nil {
		return nil, "", fmt.Errorf("freeze dossier of case %q: %w", d.Case, err)
	}
	hash = digest(canonical)
	file, err = canonicalJSON(dossierFile{canonical, sections, hash})
	if err != nil {
		return nil, "", fmt.Errorf("freeze dossier of case %q: %w", d.Case, err)
	}
	return file, hash, nil
}

// Thaw verifies a dossier's file by itself alone and reads it. Any changed byte is an error that says in
// which fields. Fields that this version does not know are part of the hash and are not read.
func Thaw(file []byte) (*Dossier, string, error) {
	var f dossierFile
	canonical := jsontext.Value(bytes.Clone(file))
	if err := canonical.Canonicalize(); err != nil {
		return nil, "", fmt.Errorf("read dossier: %w", err)
	}
	if err := json.Unmarshal(file, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, "", fmt.Errorf("read dossier: %w", err)
	}
	if len(f.Dossier) == 0 {
		return nil, "", errors.New("read dossier: the file has none")
	}
	sections, err := sectionHashes(f.Dossier)
	if err != nil {
		return nil, "", fmt.Errorf("read dossier: %w", err)
	}
	var changed []string
	for name := range union(sections, f.Sections) {
		if sections[name] != f.Sections[name] {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	switch hash := digest(f.Dossier); {
	case len(changed) > 0:
		return nil, "", fmt.Errorf("verify dossier: changed in %q", changed)
	case hash != f.SHA256:
		return nil, "", fmt.Errorf("verify dossier: its hash is %s, and the file says %s", hash, f.SHA256)
	case !bytes.Equal(canonical, file):
		return nil, "", fmt.Errorf("verify dossier: %w", errNotCanonical)
	}
	var d Dossier
	if err := json.Unmarshal(f.Dossier, &d); err != nil {
		return nil, "", fmt.Errorf("read dossier: %w", err)
	}
	return &d, f.SHA256, nil
}

func sectionHashes(canonical []byte) (map[string]string, error) {
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(canonical, &fields); err != nil {
		return nil, err
	}
	hashes := make(map[string]string, len(fields))
	for name, value := range fields {
		hashes[name] = digest(value)
	}
	return hashes, nil
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, b)
	return all
}
