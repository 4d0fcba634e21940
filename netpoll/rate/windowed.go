package rate

import "math"

// Windowed sums what happened in the last Samples windows.
//
// One window more than that is kept, so that a window which has only partly left the time that is looked at still counts. A rate is the sum divided by
// the time since the oldest window began, taken as Samples-1 whole windows at least: so a burst at the very beginning is not mistaken for its
// rate going on. With 11 windows of a second, 20 MB at once are a rate of 2 MB/s.
type Windowed struct {
	Samples int   // windows that count, at least 1
	Window  int64 // milliseconds of one

	ring    []sample
	current int
}

type sample struct {
	start, last int64 // when it began, and of the last value
	sum         float64
}

// Record adds a value.
func (w *Windowed) Record(now int64, value float64) {
	if len(w.ring) == 0 {
		w.ring = append(w.ring, sample{start: now, last: now})
	}
	s := &w.ring[w.current]
	if now-s.start >= w.Window {
		s = w.advance(now)
	}
	s.sum += value
	s.last = now
}

func (w *Windowed) advance(now int64) *sample {
	w.current = (w.current + 1) % (w.Samples + 1)
	if w.current == len(w.ring) {
		w.ring = append(w.ring, sample{})
	}
	w.ring[w.current] = sample{start: now, last: now}
	return &w.ring[w.current]
}

// purge empties the windows that are too old to count.
func (w *Windowed) purge(now int64) {
	expired := int64(w.Samples) * w.Window
	for i := range w.ring {
		if now-w.ring[i].last >= expired {
			w.ring[i] = sample{start: now, last: now}
		}
	}
}

// Sum is the sum over the windows that count.
func (w *Windowed) Sum(now int64) float64 {
	w.purge(now)
	sum := 0.0
	for i := range w.ring {
		sum += w.ring[i].sum
	}
	return sum
}

// span is the time over which the sum came together, in milliseconds.
func (w *Windowed) span(now int64) int64 {
	w.purge(now)
	elapsed := int64(0)
	for i := range w.ring {
		elapsed = max(elapsed, now-w.ring[i].start)
	}
	if full, least := elapsed/w.Window, int64(w.Samples-1); full < least {
		elapsed += (least - full) * w.Window
	}
	return max(elapsed, w.Window)
}

// PerSecond is the rate.
func (w *Windowed) PerSecond(now int64) float64 {
	return w.Sum(now) * 1000 / float64(w.span(now))
}

// Wait is for how many milliseconds nothing may happen, so that the rate comes down to limit per second; 0 when it is not above it.
func (w *Windowed) Wait(now int64, limit float64) int64 {
	over := w.PerSecond(now) - limit
	if over <= 0 {
		return 0
	}
	return roundMillis(over / limit * float64(w.span(now)))
}

// Idle says that nothing that was recorded counts any more.
func (w *Windowed) Idle(now int64) bool {
	expired := int64(w.Samples) * w.Window
	for i := range w.ring {
		if now-w.ring[i].last < expired {
			return false
		}
	}
	return true
}

// maxWait bounds waits: a limit may be as small as somebody likes.
const maxWait = math.MaxInt32

func roundMillis(ms float64) int64 { return int64(min(math.Round(ms), maxWait)) }
