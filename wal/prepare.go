package wal

import (
	"fmt"
	"math"
	"time"
)

// preparation fills the part of a target that was never written with zeroes, behind the first appends: a durable write into an unwritten
// extent has to go through the file system's journal, twice the time at the median and far more at p99. It is about latency alone:
// unwritten space reads as zeroes, too, so a crash at any point leaves nothing to repair, and the next opening fills the holes that it finds.
//
//	   trim        end of recovery      frontier                     trim + ring
//	----+---------------+-------------------+-----------+-----------------+----- positions
//	    |    blocks     |  may be used      | being     | unwritten, in   |
//	    |  (never       |                   | filled    | the order in    |
//	    |   touched)    |                   | (1 step)  | which it is used|
//
// Zeroes can never meet a block: only holes that lay in the free part of the ring at the opening are filled, and until one is, its start is
// the frontier, above which no block may end (appendState.prepared). An append that reaches it gets ErrFull, and OnSpace when it moves.
//
// A step disturbs the writes beside it: they share the device with it, and the first of them after it waits for the journal, which converts
// the extents. So the steps come one at a time, with pauses while records arrive and the frontier is far.
type preparation struct {
	l      *Log
	super  superblock // for the place of a position
	holes  []hole     // what is left; of the goroutine once it runs
	zeroes []byte     // one step, off the heap; nil: nothing to do
	stop   chan struct{}
	done   chan struct{} // closed when the goroutine has ended; nil: it was not started
}

// hole is unwritten space by positions, from the end of the log on.
type hole struct{ start, end Position }

// allPrepared is the frontier when nothing is left to fill.
const allPrepared = Position(math.MaxInt64)

// Defaults of Options.prepareStep and Options.prepareFirst, and how long the pause after a step is. Measured on a virtual disk of 2.4 GB/s with one
// producer at a time: steps of up to 16 MiB with pauses of 20 to 50 times their length leave p99 about where it is on a prepared file, larger steps
// and shorter pauses do not.
const (
	prepareStep  = 4 << 20
	prepareFirst = 16 << 20
	preparePause = 50 // times the time of the step
)

// findHoles returns the unwritten space of the free part of the ring, [end, trim + ring), in the order in which the log gets there.
func findHoles(dev Device, s *superblock, end Position) ([]hole, error) {
	f, ok := dev.(holeFinder)
	if !ok {
		return nil, nil
	}
	ranges, err := f.Holes()
	if err != nil {
		return nil, err
	}
	at := s.physical(end)
	limit := s.Trim + Position(s.ring())
	var ahead, wrapped []hole // behind the end on the target, and before it: the log gets there after the ring's end
	add := func(list []hole, start, stop int64, pos Position) []hole {
		// Whole pages only: in a page that has any data may lie a block.
		start, stop = max(roundUp(start), ringStart), min(stop&^(pageBytes-1), s.Capacity)
		h := hole{pos + Position(start-at), min(pos+Position(stop-at), limit)}
		if h.start >= h.end {
			return list
		}
		return append(list, h)
	}
	for _, r := range ranges {
		ahead = add(ahead, max(r[0], at), r[1], end)
		wrapped = add(wrapped, r[0], min(r[1], at), end+Position(s.ring()))
	}
	return append(ahead, wrapped...), nil
}

// newPreparation finds what there is to fill of a log that ends at end, and fills what the log needs first. REQUIRES: nothing is appended yet.
func newPreparation(l *Log, s superblock, end Position) (*preparation, error) {
	p := &preparation{l: l, super: s, stop: make(chan struct{})}
	var err error
	if p.holes, err = findHoles(l.dev, &s, end); err != nil || len(p.holes) == 0 {
		return p, err
	}
	// Never touched: the kernel reads its one page of zeroes all over.
	if p.zeroes, err = alloc(int(l.opts.prepareStep)); err != nil {
		return nil, err
	}
	if err := p.begin(end); err != nil {
		p.close()
		return nil, fmt.Errorf("wal: prepare unwritten space: %w", err)
	}
	l.stats.unprepared.Store(p.left())
	return p, nil
}

// begin fills the space that the log needs first.
func (p *preparation) begin(end Position) error {
	first := p.frontier()
	for n := 0; p.frontier() < end+Position(p.l.opts.prepareFirst); n++ {
		if err := p.step(); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		left, err := findHoles(p.l.dev, &p.super, end)
		if err != nil {
			return err
		}
		if len(left) > 0 && left[0].start == first {
			p.l.log.Info("wal: the file system stores zeroes as holes, so space is not prepared", "path", p.l.opts.Path)
			p.holes = nil
		}
	}
	return nil
}

// frontier is where the log may not go beyond for now.
func (p *preparation) frontier() Position {
	if len(p.holes) == 0 {
		return allPrepared
	}
	return p.holes[0].start
}

// left is how many bytes are to be filled.
func (p *preparation) left() (n int64) {
	for _, h := range p.holes {
		n += int64(h.end - h.start)
	}
	return n
}

// step fills the next piece, durably: then its extents are converted, and no later write has to wait for that.
func (p *preparation) step() error {
	h := &p.holes[0]
	n := min(int64(h.end-h.start), int64(len(p.zeroes)))
	if err := writeFull(p.l.dev, p.zeroes[:n], p.super.physical(h.start)); err != nil {
		return err
	}
	if h.start += Position(n); h.start == h.end {
		p.holes = p.holes[1:]
	}
	return nil
}

// start fills the rest on a goroutine. Log.Close ends it.
func (p *preparation) start() {
	if len(p.holes) == 0 {
		return
	}
	p.done = make(chan struct{})
	go p.run()
}

// run fills what is left. When the device refuses, the log goes on without: should the device have failed, a block will meet that, too.
func (p *preparation) run() {
	defer close(p.done)
	l := p.l
	began, bytes := time.Now(), p.left()
	for len(p.holes) > 0 {
		stepBegan, appends := time.Now(), l.stats.appends.Load()
		if err := p.step(); err != nil {
			l.log.Warn("wal: the rest of the file is not prepared, durable writes there are slower", "path", l.opts.Path, "bytes", p.left(), "cause", err)
			p.holes = nil
		}
		if !p.advance() || !p.rest(preparePause*time.Since(stepBegan), appends) {
			return
		}
	}
	l.log.Info("wal: the file is prepared", "path", l.opts.Path, "bytes", bytes, "took", time.Since(began).Round(time.Millisecond))
}

// advance lets the log go up to the frontier. It returns false when the log is not in use any more.
func (p *preparation) advance() bool {
	l := p.l
	l.stats.unprepared.Store(p.left())
	l.mu.Lock()
	l.mu.prepared = p.frontier()
	l.setLimitLocked()
	refused, ready := l.mu.refused, l.mu.state == StateReady
	l.mu.refused = false
	l.mu.Unlock()
	if refused {
		l.commit.space()
	}
	return ready
}

// rest waits as long as pause, in slices: it ends when the log comes close to the frontier, and when nothing was appended during a slice, or since
// the count of appends that it is given. It returns false when the log closes.
func (p *preparation) rest(pause time.Duration, appends uint64) bool {
	l := p.l
	const slice = 10 * time.Millisecond
	for end := time.Now().Add(pause); ; {
		select {
		case <-p.stop:
			return false
		default:
		}
		l.mu.Lock()
		ahead := int64(p.frontier() - l.mu.next)
		l.mu.Unlock()
		now := l.stats.appends.Load()
		left := time.Until(end)
		if now == appends || ahead <= 2*l.opts.prepareFirst || left <= 0 || len(p.holes) == 0 {
			return true
		}
		appends = now
		timer := time.NewTimer(min(left, slice))
		select {
		case <-p.stop:
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// close ends the preparation, whatever is left. A nil p has nothing to end.
func (p *preparation) close() {
	if p == nil {
		return
	}
	close(p.stop)
	if p.done != nil {
		<-p.done
	}
	if p.zeroes != nil {
		release(p.zeroes)
	}
}
