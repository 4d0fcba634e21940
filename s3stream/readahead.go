package s3stream

// firstWindow is how much is read ahead of a reader once it has read two pieces in a row; the window doubles with each further one.
const firstWindow = 512 << 10

// cursors remembers where the cold readers of a stream are, so that a reader that goes on where another read ended is known as sequential. It
// holds the last few: a reader has no name.
type cursors struct {
	at   [4]cursor
	tick uint32
}

type cursor struct {
	next   int64  // where the reader goes on; 0: unused
	window int64  // bytes to read ahead of it
	used   uint32 // cursors.tick of its last move
}

// sequential returns the window for a read at offset: 0 when nobody was expected there. warm: a readahead should have brought the block before.
func (t *tail) sequential(offset, most int64) (window int64, warm bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.cursors == nil {
		return 0, false
	}
	for i := range t.mu.cursors.at {
		if c := &t.mu.cursors.at[i]; c.next == offset && offset > 0 {
			warm = c.window > 0
			c.window = min(most, max(firstWindow, 2*c.window))
			return c.window, warm
		}
	}
	return 0, false
}

// shrink halves the window of the reader at offset: what was read ahead of it had to leave the cache before it came.
func (t *tail) shrink(offset int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.cursors != nil {
		for i := range t.mu.cursors.at {
			if c := &t.mu.cursors.at[i]; c.next == offset && offset > 0 {
				c.window /= 4
				return c.window
			}
		}
	}
	return 0
}

// advance moves the reader at from to next, or begins to follow a new one in the place of the one that has been still the longest. It
// returns whether the reader was known.
func (t *tail) advance(from, next int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.cursors == nil {
		t.mu.cursors = &cursors{}
	}
	cs := t.mu.cursors
	cs.tick++
	oldest := &cs.at[0]
	for i := range cs.at {
		c := &cs.at[i]
		if c.next == from && from > 0 {
			c.next, c.used = next, cs.tick
			return true
		}
		if cs.tick-c.used > cs.tick-oldest.used {
			oldest = c
		}
	}
	*oldest = cursor{next: next, used: cs.tick}
	return false
}

// Prefetch starts to bring maxBytes from offset from on into the block cache. It returns at once, and does nothing when
// the offset is in memory or enough is being read ahead already.
func (st *Stream) Prefetch(from int64, maxBytes int) {
	if st.readable() != nil || from < st.start.Load() || from >= st.confirmed.Load() {
		return
	}
	t := st.tail
	t.mu.Lock()
	i := t.findPart(from)
	hot := from >= st.cleaned.Load() && i < len(t.mu.parts) && t.mu.parts[i].start <= from
	t.mu.Unlock()
	if !hot {
		st.storage.readahead(st.id, from, int64(maxBytes))
	}
}

// readahead fetches what lies within bytes from offset on and is not in the cache, in the background. It is dropped when too many others are
// at it: whoever needs the blocks then fetches them.
func (s *Storage) readahead(id StreamID, offset, bytes int64) {
	select {
	case s.aheadSlots <- struct{}{}:
	default:
		return
	}
	if !s.spawn(func() {
		defer func() { <-s.aheadSlots }()
		s.ahead(id, offset, bytes)
	}) {
		<-s.aheadSlots
	}
}

func (s *Storage) ahead(id StreamID, offset, bytes int64) {
	for bytes > 0 && s.ctx.Err() == nil {
		o, rd, i, err := s.locate(s.ctx, id, offset)
		if err != nil {
			return // the reader will meet it, and say so
		}
		if rd == nil {
			offset = o.Ranges[0].End
			continue
		}
		blocks := rd.Index().Blocks
		for ; i < len(blocks) && blocks[i].Stream == int64(id) && bytes > 0; i++ {
			if !s.blocks.has(blockKey{o.ID, int64(i)}) {
				bs := s.claimRun(o.ID, rd, i, min(bytes, runBytes), true)
				if len(bs) > 0 {
					s.fetch(rd, bs)
					s.count.readahead.Add(bs[0].run.bytes)
				}
			}
			bytes -= int64(blocks[i].Size)
			offset = blocks[i].Next
		}
		if i < len(blocks) && blocks[i].Stream == int64(id) {
			return
		}
		offset = max(offset, o.Ranges[0].End)
	}
}
