package s3stream

import (
	"time"

	"github.com/ringmq/ringmq/wal"
)

// Shares of the WAL's memory budget.
const (
	// Uploaded records may keep memory in use up to keep of the budget, others up to load of it, because to read them back from the device costs more
	// than to read them from objects later, if ever. After an append found no memory both are cut back to short.
	keepNum, keepDen   = 3, 4
	loadNum, loadDen   = 7, 8
	shortNum, shortDen = 1, 2
	// stepDen: the keeper looks again after that much was appended.
	stepDen = 16
	// hurryDen: when the WAL is past HurryPercent, a segment is uploaded once it takes that part of the WAL.
	hurryDen = 64
	// indexDen: entries may take that part of the budget (they are on the Go heap, beside it).
	indexDen = 4
)

// hungryPause is how long after a refused append its caller is told to try again at the latest, while that happens again and again.
const hungryPause = 10 * time.Millisecond

// keep seals segments when they are due and keeps the log cache within its memory. It is the only goroutine that rotates for size and time.
func (s *Storage) keep() {
	tick := min(max(s.opts.UploadInterval/8, 10*time.Millisecond), 5*time.Second)
	if s.opts.UploadInterval < 0 {
		tick = 5 * time.Second
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var hungry <-chan time.Time
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wakeKeeper:
		case <-ticker.C:
		case <-hungry:
			// A trim is durable, and memory free, some time after we asked for it.
			hungry = nil
			s.space()
		}
		if hungry == nil && s.hungry.Load() {
			hungry = time.After(hungryPause)
		}
		if s.due() && s.rotate() {
			s.kick(s.wakeUploader)
		}
		if s.relieve() {
			s.space()
		}
		if s.hurried() {
			s.changes.wake() // awaitOpen must not wait on
		}
		s.schedule()
	}
}

// due reports whether the active segment should be sealed now.
func (s *Storage) due() bool {
	s.turn.RLock()
	g := s.active
	s.turn.RUnlock()
	span := int64(s.log.Next() - g.first)
	if g.bytes.Load() >= s.opts.UploadBytes || span >= s.spanLimit() {
		return true
	}
	if s.pendingSegments.Load() > 0 {
		return false // the uploader is busy: let the segment grow
	}
	if s.hurried() && span >= s.log.Stats().Capacity/hurryDen {
		return true
	}
	return s.opts.UploadInterval >= 0 && g.age(s.opts.Now()) >= s.opts.UploadInterval
}

// spanLimit is how much of the WAL, and so of its memory, a segment may take: few and small records fill blocks with little.
func (s *Storage) spanLimit() int64 { return s.opts.UploadBytes / 4 * 5 }

// hurried reports whether the WAL is so full that nothing should wait for more company.
func (s *Storage) hurried() bool {
	st := s.log.Stats()
	return st.Used >= st.Capacity/100*int64(s.opts.HurryPercent)
}

// schedule sets the WAL position at which an append wakes the keeper again.
func (s *Storage) schedule() {
	st := s.log.Stats()
	step := max(st.MemoryBudget/stepDen, 1)
	s.turn.RLock()
	left := min(s.opts.UploadBytes-s.active.bytes.Load(), s.spanLimit()-int64(s.log.Next()-s.active.first))
	step = min(step, max(left, 1))
	s.turn.RUnlock()
	if hurry := st.Capacity / 100 * int64(s.opts.HurryPercent); st.Used < hurry {
		step = min(step, hurry-st.Used)
	} else {
		step = min(step, max(st.Capacity/hurryDen, 1))
	}
	s.keepAt.Store(int64(s.log.Next()) + step)
}

// relieve takes the oldest records out of memory until the log cache fits: uploaded ones leave the index too, others stay in
// it and are read back from the WAL device when somebody needs them. The segment that is being uploaded is left alone. It returns whether refused
// appends may be worth another attempt.
func (s *Storage) relieve() bool {
	st := s.log.Stats()
	keep, load := st.MemoryBudget/keepDen*keepNum, st.MemoryBudget/loadDen*loadNum
	short := s.short.Swap(false)
	if short {
		keep, load = st.MemoryBudget/shortDen*shortNum, st.MemoryBudget/shortDen*shortNum
	}
	s.relieving.Lock()
	defer s.relieving.Unlock()
	s.turn.RLock()
	active := s.active
	s.turn.RUnlock()
	s.segments.Lock()
	all := append([]*segment(nil), s.segments.sealed...)
	committed := 0
	for _, g := range all {
		if g.committed {
			committed++
		}
	}
	s.segments.Unlock()

	floor := floorFor(all, s.log.Next(), keep)
	var idle []*tail
	evicted := 0
	for i, g := range all[:committed] {
		crowded := s.cached.index.Load() > st.MemoryBudget/indexDen
		if g.first >= floor && !crowded {
			break
		}
		upTo := floor
		if crowded {
			upTo = max(floor, g.end)
		}
		idle = s.evict(g, upTo, idle)
		if g.end <= upTo && i == evicted {
			evicted++
		}
	}
	if evicted > 0 {
		s.segments.Lock()
		s.segments.sealed = append(s.segments.sealed[:0:0], s.segments.sealed[evicted:]...)
		s.segments.Unlock()
	}
	if floor = min(floorFor(all, s.log.Next(), load), st.Durable); floor > 0 {
		for _, g := range append(all[committed:], active) {
			if g.first >= floor {
				break
			}
			if !g.pinned {
				s.unload(g, floor)
			}
		}
	}
	s.forget(idle)
	return short || evicted > 0
}

// floorFor returns the position below which records must leave memory so that target bytes of it remain in use, besides what readers hold. Blocks
// lie in memory as on the device, so the distance between two positions is the memory between them. A pinned segment cannot leave: when it
// lies below, as much behind it has to go.
//
//	next 128, target 96, nothing pinned: 32. [0, 42) pinned: 32 + 42 = 74, which leaves [0, 42) and [74, 128).
func floorFor(segments []*segment, next wal.Position, target int64) wal.Position {
	floor := next - wal.Position(target)
	for _, g := range segments {
		if g.pinned && g.first < floor {
			floor += g.end - g.first
		}
	}
	return min(floor, next)
}

// evict takes the records of a committed segment below floor out of memory and index.
func (s *Storage) evict(g *segment, floor wal.Position, idle []*tail) []*tail {
	for _, p := range g.mu.parts {
		idle = s.evictPart(p, floor, idle)
	}
	return idle
}

// evictPart is evict for one part. It appends the tail to idle when nothing is left of it and nobody has it open.
func (s *Storage) evictPart(p *part, floor wal.Position, idle []*tail) []*tail {
	t := p.tail
	for more := len(p.pages) > 0; more; {
		var f freed
		t.mu.Lock()
		f, more = p.evict(floor, &s.pages)
		if len(p.pages) == 0 {
			f.index += partBytes
			t.removePart(p)
			if len(t.mu.parts) == 0 && t.mu.stream == nil {
				idle = append(idle, t)
			}
		}
		t.mu.Unlock()
		p.seg.device.Add(-f.device)
		s.account(f)
	}
	return idle
}

// unload takes the bytes of the records of a pending segment below floor out of memory.
func (s *Storage) unload(g *segment, floor wal.Position) {
	g.mu.Lock()
	parts := g.mu.parts[:len(g.mu.parts):len(g.mu.parts)]
	g.mu.Unlock()
	for _, p := range parts {
		for more := true; more; {
			var f freed
			p.tail.mu.Lock()
			f, more = p.unload(floor, &s.pages)
			g.device.Add(-f.device)
			p.tail.mu.Unlock()
			s.account(f)
		}
	}
}
