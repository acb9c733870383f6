package journal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

func TestWhatIsDecodedOnceServesTwo(t *testing.T) {
	at := time.UnixMilli(1_741_492_790_000).UTC()
	record := func(pile string) []byte {
		r := charging(pile, 1)
		return appendReading(appendHeader(nil, at), &r)
	}
	var d decodedBatches
	first, err := d.decode(7, record("P1"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.decode(7, record("P1"))
	if err != nil || &first.Readings[0] != &second.Readings[0] {
		t.Errorf("the second consumer decodes again, %v; want what the first has decoded", err)
	}
	if d.readings != 0 || len(d.batches) != 0 {
		t.Errorf("kept after both have it: %d batches of %d readings, want none", len(d.batches), d.readings)
	}
	if _, err := d.decode(8, record("P1")); err != nil {
		t.Fatal(err)
	}
	other, err := d.decode(8, record("P2")) // its sequence was given a second time
	if err != nil || other.Readings[0].Pile.Equipment != "P2" || other.Seq != 8 {
		t.Errorf("another message of one sequence: got %+v, %v, want that of P2", other, err)
	}
	if _, err := d.decode(9, []byte{recordVersion}); err == nil {
		t.Error("a torn record: got no error")
	}
}

func TestWhatIsDecodedIsForgottenInTime(t *testing.T) {
	var full []charge.Reading
	for range decodedAtMost / 4 {
		full = append(full, charging("P1", 1))
	}
	var d decodedBatches
	for seq := range uint64(100) {
		data := appendHeader(nil, time.UnixMilli(1))
		for i := range full {
			data = appendReading(data, &full[i])
		}
		if _, err := d.decode(seq, data); err != nil {
			t.Fatal(err)
		}
		if d.readings > decodedAtMost || len(d.batches) > 4 {
			t.Fatalf("kept: %d batches of %d readings, want at most %d", len(d.batches), d.readings, decodedAtMost)
		}
	}
	if diff := cmp.Diff(4, len(d.batches)); diff != "" {
		t.Errorf("kept batches (-want +got):\n%s", diff)
	}
}
