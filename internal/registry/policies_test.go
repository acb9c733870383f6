package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
)

func TestPoliciesComeIntoForceByTheirDay(t *testing.T) {
	r := open(t)
	d := directory(t, r)
	r.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, charge.Zone) }
	version := func(name, from, rest string) []byte {
		return []byte("version: " + name + "\nfrom: " + from + "\n" + rest)
	}
	for _, tt := range []struct {
		name string
		file []byte
		want string // in the error; "" is none
	}{
		{"a wrong first one", version("a", "2024-01-01", "coverage:\n  window_hours: 0\n"), "line 4, coverage.window_hours"},
		{"the first may begin in the past", version("a", "2024-01-01", ""), ""},
		{"the same again", version("a", "2024-01-01", ""), ""},
		{"its name with another text", version("a", "2026-04-01", "lateness_hours: 48\n"), "version a is there already"},
		{"the name of the carried one", version("default", "2026-04-01", ""), "version default is there already"},
		{"yesterday", version("b", "2026-02-28", ""), "from 2026-02-28 is before today, 2026-03-01"},
		{"today", version("b", "2026-03-01", "lateness_hours: 48\n"), ""},
		{"a misspelt key later", version("c", "2026-05-01", "latenes_hours: 48\n"), "line 3, latenes_hours: unknown key"},
		{"next month", version("c", "2026-04-01", "lateness_hours: 24\n"), ""},
	} {
		_, err := r.ImportPolicy(t.Context(), tt.file)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		var bad *policy.Error
		if err != nil && !errors.As(err, &bad) && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: got %v, which callers cannot tell apart", tt.name, err)
		}
	}
	refresh(t, d)
	for day, want := range map[string]string{"2023-06-01": "default", "2026-02-28": "a", "2026-03-01": "b", "2027-01-01": "c"} {
		at, _ := time.ParseInLocation(time.DateOnly, day, charge.Zone)
		if got := d.Policies().At(at).Version; got != want {
			t.Errorf("in force on %s: got %s, want %s", day, got, want)
		}
	}
	files, err := r.PolicyFiles(t.Context())
	if err != nil || len(files) != 4 || !files[0].Entered.IsZero() || string(files[2].File) != string(version("b", "2026-03-01", "lateness_hours: 48\n")) {
		t.Errorf("PolicyFiles: got %+v, %v", files, err)
	}
}
