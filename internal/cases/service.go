package cases

import (
	"fmt"
	"slices"
	"time"
)

// A ServiceKind is how a notice is served (送达). A reminder by e-mail or webhook without the operator's
// consent is none of them.
type ServiceKind string

// The ways of service.
const (
	Electronic   ServiceKind = "electronic"    // with a signed confirmation of the address (送达地址确认书)
	Direct       ServiceKind = "direct"        // handed over and signed for
	Left         ServiceKind = "left"          // left on the premises before a witness or a camera (留置送达)
	Post         ServiceKind = "post"          // by the day of the receipt
	PublicNotice ServiceKind = "public_notice" // where the others failed (公告送达)
)

// A Service is one attempt to serve a notice.
type Service struct {
	Kind     ServiceKind `json:"kind"`
	On       time.Time   `json:"on"`       // delivered, left, received or posted
	Evidence string      `json:"evidence"` // receipt, witness, tracking number or where it was posted
	Consent  string      `json:"consent"`  // Electronic: the signed confirmation of the address
	Failed   bool        `json:"failed"`   // it did not reach the operator; Evidence says why
}

// Check tells what an attempt lacks, after those that were made before it.
func (s Service) Check(earlier []Service) error {
	switch {
	case !slices.Contains([]ServiceKind{Electronic, Direct, Left, Post, PublicNotice}, s.Kind):
		return fmt.Errorf("serve by %q: want electronic, direct, left, post or public_notice", s.Kind)
	case s.On.IsZero():
		return fmt.Errorf("serve by %s: give its day", s.Kind)
	case s.Evidence == "":
		return fmt.Errorf("serve by %s: give the receipt, or what happened", s.Kind)
	case s.Kind == Electronic && s.Consent == "" && !s.Failed:
		return fmt.Errorf("serve by electronic: without a signed confirmation of the address it is a reminder only")
	}
	if s.Kind == PublicNotice {
		for _, before := range []ServiceKind{Direct, Post} {
			if !slices.ContainsFunc(earlier, func(e Service) bool { return e.Kind == before && e.Failed && !e.On.After(s.On) }) {
				return fmt.Errorf("serve by public_notice: service by %s must have failed before", before)
			}
		}
	}
	return nil
}

// Effective is the day on which an attempt counts as served; ok is false for one that failed.
func (s Service) Effective(terms Terms) (on time.Time, ok bool) {
	if s.Kind == PublicNotice {
		return s.On.AddDate(0, 0, terms.PublicDays), !s.Failed
	}
	return s.On, !s.Failed
}
