package s3stream

import "fmt"

// Read appends to dst the records from the one that holds offset from, as long as they end at or before limit and fit maxBytes; the
// first one even when it is larger, if atLeastOne. It serves from memory only: ErrCold when the offset is not there.
// ErrOutOfRange below Start and above the end. What Rewrite has gone through is not in memory. It does not block, and does not allocate when dst has room. The caller
// releases each slice's Mem.
func (st *Stream) Read(dst []Slice, from, limit int64, maxBytes int, atLeastOne bool) ([]Slice, error) {
	if err := st.readable(); err != nil {
		return dst, err
	}
	t := st.tail
	t.mu.Lock()
	defer t.mu.Unlock()
	if from < st.start.Load() || from > t.mu.end {
		return dst, fmt.Errorf("%w: read at %d, stream %d has %d to %d", ErrOutOfRange, from, st.id, st.start.Load(), t.mu.end)
	}
	limit = min(limit, t.mu.end)
	if from >= limit {
		return dst, nil
	}
	if from < st.cleaned.Load() {
		return dst, ErrCold
	}
	i := t.findPart(from)
	if i == len(t.mu.parts) || t.mu.parts[i].start > from {
		return dst, ErrCold
	}
	st.storage.count.hotReads.Add(1)
	n := len(dst)
	pi, ei := t.mu.parts[i].find(from)
	for {
		p := t.mu.parts[i]
		for ; pi < len(p.pages); pi, ei = pi+1, 0 {
			for es := p.live(pi); ei < len(es); ei++ {
				e := &es[ei]
				switch {
				case e.mem == nil:
					if len(dst) == n {
						return dst, ErrCold
					}
					return dst, nil
				case e.next > limit:
					return dst, nil
				case int(e.size) > maxBytes && (len(dst) > n || !atLeastOne):
					return dst, nil
				}
				e.mem.Ref()
				dst = append(dst, Slice{First: e.first, Next: e.next, Data: e.data, Mem: e.mem})
				maxBytes -= int(e.size)
			}
		}
		if i++; i == len(t.mu.parts) || t.mu.parts[i].start != p.end {
			return dst, nil
		}
		pi, ei = 0, 0
	}
}
