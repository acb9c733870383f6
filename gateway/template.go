package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// Levels of a template that stand for something; all others stand for themselves.
const (
	levelOperator = "{operator}"
	levelPile     = "{pile}"
	levelKind     = "{kind}"
	levelAny      = "{any}"
)

// What a template may hold, far beyond what any operator's topics have.
const (
	mostTemplateBytes  = 256
	mostTemplateLevels = 16
	mostTemplates      = 16
)

// A template says how an operator's own topics name pile and kind, level by level:
// charging/{pile}/{kind}, or with a kind that the topic does not tell in our words,
// charging/{pile}/realtime=telemetry. Where it names no pile, the payload's objects do.
type template struct {
	levels []string
	kind   charge.Kind // 0 where a level tells it
}

// parseTemplate reads what {any}, {operator}, {pile} and {kind}, each once and a level of its own,
// make of an operator's topics.
func parseTemplate(s string) (template, error) {
	topic, kind, fixed := strings.Cut(s, "=")
	t := template{levels: strings.Split(topic, "/")}
	switch {
	case topic == "":
		return template{}, errors.New("the topic is empty: want something like charging/{pile}/{kind}")
	case len(topic) > mostTemplateBytes || len(t.levels) > mostTemplateLevels:
		return template{}, fmt.Errorf("the topic is too long: at most %d bytes and %d levels", mostTemplateBytes, mostTemplateLevels)
	case strings.HasPrefix(topic, "$"):
		return template{}, errors.New("topics that begin with $ are the broker's own; a share is made by connections=N")
	case strings.ContainsRune(topic, 0) || strings.ToValidUTF8(topic, "") != topic:
		return template{}, errors.New("the topic is no text that MQTT can carry")
	}
	seen := make(map[string]bool)
	for _, level := range t.levels {
		switch {
		case strings.ContainsAny(level, "+#"):
			return template{}, fmt.Errorf("level %q: for a level that may be anything write %s, and name every level", level, levelAny)
		case !strings.ContainsAny(level, "{}"), level == levelAny:
			continue
		case level != levelOperator && level != levelPile && level != levelKind:
			return template{}, fmt.Errorf("level %q: known are %s, %s, %s and %s, each a whole level", level, levelPile, levelKind, levelOperator, levelAny)
		case seen[level]:
			return template{}, fmt.Errorf("%s stands there twice", level)
		}
		seen[level] = true
	}
	if fixed {
		var ok bool
		if t.kind, ok = charge.ParseKind(kind); !ok {
			return template{}, fmt.Errorf("kind %q: want one of status, telemetry, alarm, order, heartbeat", kind)
		}
	}
	switch {
	case fixed && seen[levelKind]:
		return template{}, fmt.Errorf("the topic tells its kind by %s and by =%s: leave one out", levelKind, kind)
	case !fixed && !seen[levelKind]:
		return template{}, fmt.Errorf("nothing tells the kind: give the topic a level %s, or end it with a fixed one, such as =telemetry", levelKind)
	}
	return t, nil
}

// filters are what is subscribed to for these topics of an operator.
func (t template) filters(operator charge.OperatorID) []string {
	kinds := []charge.Kind{t.kind}
	if t.kind == 0 {
		// One by one, not + for all: beside them may lie what is not for us, such as our own answers.
		kinds = kinds[:0]
		for k := charge.KindStatus; k <= charge.KindHeartbeat; k++ {
			kinds = append(kinds, k)
		}
	}
	all := make([]string, 0, len(kinds))
	for _, k := range kinds {
		levels := slices.Clone(t.levels)
		for i, level := range levels {
			switch level {
			case levelOperator:
				levels[i] = string(operator)
			case levelKind:
				levels[i] = k.String()
			case levelPile, levelAny:
				levels[i] = "+"
			}
		}
		all = append(all, strings.Join(levels, "/"))
	}
	return all
}

// ours gives the topic that we would have used for one of the operator's; ok is false where it does
// not fit the template.
func (t template) ours(operator charge.OperatorID, topic string) (ours string, ok bool) {
	pile, kind, rest := wire.Many, t.kind, topic
	for i, want := range t.levels {
		level, after, more := strings.Cut(rest, "/")
		if more != (i < len(t.levels)-1) {
			return "", false
		}
		rest = after
		switch want {
		case levelAny:
		case levelPile:
			if pile = level; pile != wire.Many && !charge.ValidID(pile) {
				return "", false
			}
		case levelKind:
			if kind, ok = charge.ParseKind(level); !ok {
				return "", false
			}
		case levelOperator:
			if level != string(operator) {
				return "", false
			}
		default:
			if level != want {
				return "", false
			}
		}
	}
	return wire.Topic(string(operator), pile, kind), true
}

// templates are all of a bridge; none means our own topics.
type templates []template

// check tells what would make a message come twice, or our own answers come back to us.
func (ts templates) check(operator charge.OperatorID) error {
	if len(ts) > mostTemplates {
		return fmt.Errorf("%d topics: at most %d", len(ts), mostTemplates)
	}
	var all []string
	for _, t := range ts {
		for _, filter := range t.filters(operator) {
			if overlap(filter, wire.RejectTopic(string(operator), "+")) {
				return fmt.Errorf("topic %s also takes %s, on which we answer", strings.Join(t.levels, "/"), wire.RejectTopic(string(operator), levelPile))
			}
			for _, other := range all {
				if overlap(filter, other) {
					return fmt.Errorf("two topics take the same messages: %s and %s", other, filter)
				}
			}
			all = append(all, filter)
		}
	}
	return nil
}

// overlap tells whether a topic may fit both filters, which hold + and no #.
func overlap(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i] != bs[i] && as[i] != "+" && bs[i] != "+" {
			return false
		}
	}
	return true
}

// filters are what a bridge subscribes to, without its share.
func (ts templates) filters(operator charge.OperatorID) (all []string) {
	if len(ts) == 0 {
		for k := charge.KindStatus; k <= charge.KindHeartbeat; k++ {
			all = append(all, wire.Topic(string(operator), "+", k))
		}
	}
	for _, t := range ts {
		all = append(all, t.filters(operator)...)
	}
	return all
}

// ours gives our own topic for one of the operator's. One that fits no template stays as it is: it
// is told to be a bad one, or is one of ours that was subscribed to before.
func (ts templates) ours(operator charge.OperatorID, topic string) string {
	for _, t := range ts {
		if ours, ok := t.ours(operator, topic); ok {
			return ours
		}
	}
	return topic
}
