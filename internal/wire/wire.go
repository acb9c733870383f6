// Package wire is what piles and operators' platforms send: topics and JSON payloads, read and
// written. It knows ranges and forms; whether a pile exists and who may speak for it is the
// gateway's to know.
package wire

import (
	"errors"
	"strings"

	"pilewatch/internal/charge"
)

// prefix stands before every topic; its version is the payload's.
const prefix = "evcs/v1/"

// Many is the pile level of an operator's platform that speaks for many piles: each object of
// its payloads then names its pile.
const Many = "-"

// A Reason tells in one word why a message or one of its objects could not be used.
type Reason string

// The reasons. Their order is that of the checks.
const (
	BadTopic    Reason = "bad_topic"
	TooLarge    Reason = "too_large"
	BadJSON     Reason = "bad_json"
	UnknownPile Reason = "unknown_pile"
	NotYours    Reason = "not_yours"
	UnknownGun  Reason = "unknown_connector"
	BadID       Reason = "bad_id"
	BadTime     Reason = "bad_time"
	BadStatus   Reason = "bad_status"
	OutOfRange  Reason = "out_of_range"
	BadField    Reason = "bad_field" // a field is missing or of the wrong type
)

// Reasons are all reasons that a reject can have.
func Reasons() []Reason {
	return []Reason{
		BadTopic, TooLarge, BadJSON, UnknownPile, NotYours, UnknownGun, BadID, BadTime, BadStatus, OutOfRange, BadField,
	}
}

// Topic gives evcs/v1/{operator}/{pile}/{kind}; pile may be Many.
func Topic(operator, pile string, kind charge.Kind) string {
	return prefix + operator + "/" + pile + "/" + kind.String()
}

// RejectTopic is where a sender is told what of its messages could not be used.
func RejectTopic(operator, pile string) string { return prefix + operator + "/" + pile + "/reject" }

// An Address is what a topic says.
type Address struct {
	Operator charge.OperatorID
	Pile     string // Many where the objects name their piles
	Kind     charge.Kind
}

var errTopic = errors.New("want evcs/v1/{operator}/{pile}/{kind}, kind one of status, telemetry, alarm, order, heartbeat")

// ParseTopic reads what Topic writes. The address holds what could be read even where the error
// is not nil, so that a reject can be told to whom it concerns.
func ParseTopic(topic string) (Address, error) {
	var a Address
	rest, ok := strings.CutPrefix(topic, prefix)
	if !ok {
		return a, errTopic
	}
	operator, rest, ok := strings.Cut(rest, "/")
	if !charge.ValidID(operator) {
		return a, errTopic
	}
	a.Operator = charge.OperatorID(operator)
	if !ok {
		return a, errTopic
	}
	pile, kind, ok := strings.Cut(rest, "/")
	if pile != Many && !charge.ValidID(pile) {
		return a, errTopic
	}
	a.Pile = pile
	if !ok {
		return a, errTopic
	}
	a.Kind, ok = charge.ParseKind(kind)
	if !ok {
		return a, errTopic
	}
	return a, nil
}
