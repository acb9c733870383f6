package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestMessagesOfAMonthAddUp(t *testing.T) {
	r := open(t)
	march := time.Date(2025, 3, 31, 23, 59, 0, 0, charge.Zone)
	one := Quality{Messages: 3, Late: 1, Numbered: 3, Missing: -1, Delays: [len(DelayBounds) + 1]int64{4: 2, 9: 1}, Rejects: map[string]int64{"bad_json": 2}}
	for range 2 {
		if err := r.AddQuality(t.Context(), map[QualityKey]*Quality{
			{march, "MA3CLQP01"}: &one, {march.Add(2 * time.Minute), "MA3CLQP01"}: {Messages: 7, OffClock: 1, Twice: 1, Restarts: 1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.Qualities(t.Context(), march)
	want := map[charge.OperatorID]Quality{"MA3CLQP01": {
		Messages: 6, Late: 2, Numbered: 6, Missing: -2, Delays: [len(DelayBounds) + 1]int64{4: 4, 9: 2}, Rejects: map[string]int64{"bad_json": 4},
	}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("March: %v, %s", err, cmp.Diff(want, got))
	}
	if got, _ := r.Qualities(t.Context(), march.AddDate(0, 0, 1)); got["MA3CLQP01"].Messages != 14 {
		t.Errorf("April: got %+v, want 14 messages", got)
	}
}
