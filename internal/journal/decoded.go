package journal

import (
	"bytes"
	"sync"
)

// A decodedBatches keeps what one consumer of READINGS has decoded until another one in the same
// process comes to it. They stay independent: whoever is far ahead of or behind the other finds
// nothing, and decodes for itself. It is safe for concurrent use.
type decodedBatches struct {
	mu       sync.Mutex
	batches  map[uint64]decodedBatch // by sequence
	oldest   []uint64                // sequences in the order of their decoding, also of what was taken
	readings int
}

type decodedBatch struct {
	data []byte // of which it is: after a lost tail a sequence may be another message's
	Batch
}

// decodedAtMost is how many readings are kept, of 350 bytes each: some half a second of a busy province.
const decodedAtMost = 10_000

// decode is decodeBatch of the message with this sequence. What it gives is shared: nobody may change it.
func (d *decodedBatches) decode(seq uint64, data []byte) (Batch, error) {
	if b, ok := d.take(seq, data); ok {
		return b, nil
	}
	b, err := decodeBatch(data)
	if err != nil {
		return b, err
	}
	b.Seq = seq
	d.keep(b, data)
	return b, nil
}

func (d *decodedBatches) take(seq uint64, data []byte) (Batch, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, ok := d.batches[seq]
	if !ok || !bytes.Equal(kept.data, data) {
		return Batch{}, false
	}
	d.forget(seq)
	return kept.Batch, true
}

func (d *decodedBatches) keep(b Batch, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.batches == nil {
		d.batches = make(map[uint64]decodedBatch)
	}
	d.forget(b.Seq)
	d.batches[b.Seq] = decodedBatch{data, b}
	d.oldest = append(d.oldest, b.Seq)
	d.readings += len(b.Readings)
	for d.readings > decodedAtMost || len(d.oldest) > decodedAtMost {
		d.forget(d.oldest[0])
		d.oldest = d.oldest[1:]
	}
}

func (d *decodedBatches) forget(seq uint64) {
	d.readings -= len(d.batches[seq].Readings)
	delete(d.batches, seq)
}
