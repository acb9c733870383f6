package cases

import "time"

// A Detail is what an entry of the record tells beside its text, by action.
type Detail struct {
	Service    *Service    `json:"service,omitempty"`
	Inspection *Inspection `json:"inspection,omitempty"`
	Arguments  []string    `json:"arguments,omitempty"` // of a statement, each to be answered
	Answers    []string    `json:"answers,omitempty"`   // of a confirmation, one for each argument
	Until      time.Time   `json:"until,omitzero"`      // of a dismissal; the new deadline of an extension
	Effects    *Effects    `json:"effects,omitempty"`   // of a decommissioning, and of its undoing
}

// An Inspection is what officers found on site. With a photo, its time and two officers it is the check
// that a case on silence alone needs.
type Inspection struct {
	At       time.Time `json:"at"`
	Officers []string  `json:"officers"`
	Photo    string    `json:"photo"`   // SHA-256 or file number of the photo
	TestWh   int64     `json:"test_wh"` // delivered by a test charge, 0: none was made
	// TestFailed: a test charge was tried and delivered nothing to speak of.
	TestFailed bool `json:"test_failed,omitempty"`
	// Draw is the random inspection by which it was made, "" for none.
	Draw string `json:"draw,omitempty"`
}

// OnSite tells whether it stands as an on-site check.
func (i *Inspection) OnSite() bool {
	return i != nil && !i.At.IsZero() && i.Photo != "" && len(i.Officers) >= 2 && i.Officers[0] != i.Officers[1]
}

// Within tells whether it was made from since to until; one that tells of no visit is nowhere else.
func (i *Inspection) Within(since, until time.Time) bool {
	return i == nil || i.At.IsZero() || !i.At.Before(since) && !i.At.After(until)
}

// Failed tells whether a test charge was tried in vain.
func (i *Inspection) Failed() bool { return i != nil && i.TestFailed && i.TestWh < 1000 }

// Effects are the province's towns and townships by coverage before and after a pile leaves or comes back.
type Effects struct {
	NominalBefore   int    `json:"nominal_before"`
	NominalAfter    int    `json:"nominal_after"`
	EffectiveBefore int    `json:"effective_before"`
	EffectiveAfter  int    `json:"effective_after"`
	Township        string `json:"township"`
	LastStation     bool   `json:"last_station"` // no other public pile stands in the township
}
