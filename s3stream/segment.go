package s3stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/wal"
)

// segment is a run of the WAL that is uploaded together. Exactly one, the active one, takes appends; sealed ones do not change any more.
type segment struct {
	first   wal.Position // every record of it lies at or behind
	created time.Time    // of its first record, zero while empty; guarded by mu

	bytes  atomic.Int64 // payload bytes added
	device atomic.Int64 // payload bytes of it that are only on the device

	// Set when it is sealed.
	end wal.Position // every record of it lies before

	pinned    bool // the uploader reads its memory: relieve keeps off; guarded by Storage.relieving
	committed bool // everything in it is uploaded or given up; guarded by Storage.segments

	mu struct {
		sync.Mutex
		parts []*part
	}
}

func (g *segment) add(p *part, now time.Time) {
	g.mu.Lock()
	if len(g.mu.parts) == 0 {
		g.created = now
	}
	g.mu.parts = append(g.mu.parts, p)
	g.mu.Unlock()
}

// age is how long ago the first record came; 0 for an empty segment.
func (g *segment) age(now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mu.parts) == 0 {
		return 0
	}
	return now.Sub(g.created)
}

// rotate seals the active segment and opens the next one. It returns false when the active one is empty.
func (s *Storage) rotate() bool {
	s.turn.Lock()
	defer s.turn.Unlock()
	g := s.active
	if len(g.mu.parts) == 0 { // nobody appends while turn is held
		return false
	}
	g.end = s.log.Next()
	s.active = &segment{first: g.end}
	s.segments.Lock()
	s.segments.sealed = append(s.segments.sealed, g)
	s.segments.Unlock()
	s.pendingSegments.Add(1)
	return true
}

// oldestPending returns the oldest sealed segment that is not committed.
func (s *Storage) oldestPending() *segment {
	s.segments.Lock()
	defer s.segments.Unlock()
	for _, g := range s.segments.sealed {
		if !g.committed {
			return g
		}
	}
	return nil
}
