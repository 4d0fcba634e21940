package s3stream

// Digest sums up records of a stream for its owner while the WAL is recovered: the bytes pass by then anyway. Without it each OpenStream would read its
// records again, from memory or from the WAL device, where the records of all streams lie mixed: many streams in a full WAL would read all of it many times.
type Digest interface {
	// Record is called in offset order, without a gap, on the goroutine of Open. The payload is valid only during the call. After an error the digest is not
	// used.
	Record(Record) error
}

// tailDigest is the digest of [first, end) of a recovered tail.
type tailDigest struct {
	d          Digest
	first, end int64
	broken     bool // not all that it covers is in it
}

// digestLocked adds a recovered record that has joined the tail. tail.mu is held.
func (s *Storage) digestLocked(t *tail, h *header, payload []byte) {
	if s.opts.Digest == nil {
		return
	}
	g := t.mu.digest
	if g == nil {
		g = &tailDigest{d: s.opts.Digest(t.id), first: h.first, end: h.first}
		t.mu.digest = g
	}
	if !g.broken {
		g.broken = g.end != h.first || g.d.Record(Record{First: h.first, Next: h.next, MaxTimestamp: h.maxTimestamp, Payload: payload}) != nil
	}
	g.end = h.next
}

// digested returns the digest of a stream that is being opened, if it reaches to next and everything that it covers is still part of the stream.
func (t *tail) digested(start, next int64) *tailDigest {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.mu.digest; g != nil && !g.broken && g.end == next && g.first >= start {
		return g
	}
	return nil
}
