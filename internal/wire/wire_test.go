package wire

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestParseTopic(t *testing.T) {
	id64 := strings.Repeat("a", 64)
	tests := []struct {
		name  string
		topic string
		want  Address
		ok    bool
	}{
		{"a pile's status", "evcs/v1/MA3TEST01/P1/status", Address{"MA3TEST01", "P1", charge.KindStatus}, true},
		{"its telemetry", "evcs/v1/MA3TEST01/P1/telemetry", Address{"MA3TEST01", "P1", charge.KindTelemetry}, true},
		{"its alarm", "evcs/v1/MA3TEST01/P1/alarm", Address{"MA3TEST01", "P1", charge.KindAlarm}, true},
		{"its order", "evcs/v1/MA3TEST01/P1/order", Address{"MA3TEST01", "P1", charge.KindOrder}, true},
		{"its heartbeat", "evcs/v1/MA3TEST01/P1/heartbeat", Address{"MA3TEST01", "P1", charge.KindHeartbeat}, true},
		{"an operator's platform for many piles", "evcs/v1/MA3TEST01/-/status", Address{"MA3TEST01", Many, charge.KindStatus}, true},
		{"ids with every allowed sign", "evcs/v1/a.B_c-9/--/status", Address{"a.B_c-9", "--", charge.KindStatus}, true},
		{"ids as long as they may be", "evcs/v1/" + id64 + "/" + id64 + "/order", Address{charge.OperatorID(id64), id64, charge.KindOrder}, true},

		{"nothing", "", Address{}, false},
		{"another root", "evcs/v2/MA3TEST01/P1/status", Address{}, false},
		{"a slash first", "/evcs/v1/MA3TEST01/P1/status", Address{}, false},
		{"no operator", "evcs/v1//P1/status", Address{}, false},
		{"an operator that is many", "evcs/v1/-/P1/status", Address{}, false},
		{"an operator with a space", "evcs/v1/MA3 TEST01/P1/status", Address{}, false},
		{"an operator too long", "evcs/v1/" + id64 + "a/P1/status", Address{}, false},
		{"the operator alone", "evcs/v1/MA3TEST01", Address{Operator: "MA3TEST01"}, false},
		{"no pile", "evcs/v1/MA3TEST01//status", Address{Operator: "MA3TEST01"}, false},
		{"a pile in Chinese", "evcs/v1/MA3TEST01/桩/status", Address{Operator: "MA3TEST01"}, false},
		{"a pile with a zero byte", "evcs/v1/MA3TEST01/P\x001/status", Address{Operator: "MA3TEST01"}, false},
		{"no kind", "evcs/v1/MA3TEST01/P1", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
		{"an empty kind", "evcs/v1/MA3TEST01/P1/", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
		{"a kind that is ours to write", "evcs/v1/MA3TEST01/P1/connected", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
		{"the reject topic", "evcs/v1/MA3TEST01/P1/reject", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
		{"a kind in capitals", "evcs/v1/MA3TEST01/P1/STATUS", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
		{"a level too many", "evcs/v1/MA3TEST01/P1/status/1", Address{Operator: "MA3TEST01", Pile: "P1"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseTopic(tt.topic)
			if got != tt.want || (err == nil) != tt.ok {
				t.Fatalf("ParseTopic(%q): got %+v, %v, want %+v, ok %v", tt.topic, got, err, tt.want, tt.ok)
			}
			if !tt.ok {
				return
			}
			if again := Topic(string(got.Operator), got.Pile, got.Kind); again != tt.topic {
				t.Errorf("Topic of it: got %q, want %q", again, tt.topic)
			}
		})
	}
}

func TestRejectTopicIsNoTopicOfAPile(t *testing.T) {
	topic := RejectTopic("MA3TEST01", Many)
	if want := "evcs/v1/MA3TEST01/-/reject"; topic != want {
		t.Errorf("RejectTopic: got %q, want %q", topic, want)
	}
	if a, err := ParseTopic(topic); err == nil {
		t.Errorf("ParseTopic(%q): got %+v, want an error, else a reject could be rejected", topic, a)
	}
}

// Reasons are the labels of a metric and the words of the API: each once, none empty.
func TestReasonsAreTheDesigns(t *testing.T) {
	want := []Reason{
		"bad_topic", "too_large", "bad_json", "unknown_pile", "not_yours", "unknown_connector",
		"bad_id", "bad_time", "bad_status", "out_of_range", "bad_field",
	}
	if diff := cmp.Diff(want, Reasons()); diff != "" {
		t.Errorf("Reasons (-want +got):\n%s", diff)
	}
}

func FuzzParseTopic(f *testing.F) {
	for _, s := range []string{"evcs/v1/MA3TEST01/P1/status", "evcs/v1/a/-/order", "evcs/v1/a/b/reject", "evcs/v1/a", "$SYS/x", "evcs/v1/+/#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, topic string) {
		a, err := ParseTopic(topic)
		if err == nil {
			if again := Topic(string(a.Operator), a.Pile, a.Kind); again != topic {
				t.Errorf("Topic(ParseTopic(%q)): got %q", topic, again)
			}
		} else if a.Kind != 0 {
			t.Errorf("ParseTopic(%q): got %+v with the error %v, want no kind", topic, a, err)
		}
		// What is told of a bad topic goes into topics itself.
		if a.Operator != "" && !charge.ValidID(string(a.Operator)) || a.Pile != "" && a.Pile != Many && !charge.ValidID(a.Pile) {
			t.Errorf("ParseTopic(%q): got %+v, want only ids that are valid", topic, a)
		}
	})
}
