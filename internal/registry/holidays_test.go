package registry

import (
	"strings"
	"testing"
)

func TestWorkingDaysGoByTheNoticesAndByWhatIsImported(t *testing.T) {
	r := open(t)
	check := func(want map[string]bool) {
		t.Helper()
		calendar, err := r.Calendar(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for day, working := range want {
			if got := calendar.Working(shanghaiDay(day)); got != working {
				t.Errorf("%s: working is %v, want %v", day, got, working)
			}
		}
	}
	check(map[string]bool{
		"2026-02-13": true, "2026-02-14": true, "2026-02-16": false, "2026-02-23": false, "2026-02-28": true, "2026-03-01": false,
		"2025-10-08": false, "2025-10-11": true, "2026-10-10": true, "2026-09-25": false, "2030-10-01": true, // of which nothing is known yet
	})
	if _, err := r.Import(t.Context(), Holidays, strings.NewReader("date,kind,name,document\n2026-02-16,off,春节,更正\n2030-10-01,off,国庆节,\n")); err != nil {
		t.Fatal(err)
	}
	check(map[string]bool{"2026-02-16": false, "2026-02-17": true, "2026-02-14": false, "2030-10-01": false, "2025-10-08": false})
	var out strings.Builder
	if err := r.Export(t.Context(), Holidays, &out); err != nil || !strings.Contains(out.String(), "2026-02-16,off,春节,更正") {
		t.Errorf("export: got %q, %v", out.String(), err)
	}
	if _, err := r.Import(t.Context(), Holidays, strings.NewReader("date,kind\n2026-13-01,off\n2026-01-02,maybe\n")); err == nil {
		t.Error("a bad date and a bad kind: got no error")
	}
}
