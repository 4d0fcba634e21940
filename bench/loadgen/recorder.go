package loadgen

import (
	"sync"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
)

// recorder counts what one producer or consumer sees. One goroutine counts, the reporter looks.
type recorder struct {
	mu       sync.Mutex
	total    *measure.Histogram // within the measured time
	interval *measure.Histogram // since the last look
	all      int64              // records, measured or not
	counted  int64              // records since the last look
	inWindow int64              // records that came within the measured time, by the time at which they came
	begin    time.Time
	end      time.Time // of the measured time
}

func newRecorder(begin, end time.Time) *recorder {
	return &recorder{total: measure.NewHistogram(), interval: measure.NewHistogram(), begin: begin, end: end}
}

// records counts n records that were due from number first of the schedule on and came at now.
func (r *recorder) records(schedule measure.Schedule, first, n int64, now time.Time) {
	r.mu.Lock()
	for i := first; i < first+n; i++ {
		r.oneLocked(schedule.At(i), now)
	}
	r.mu.Unlock()
}

// batch counts n records with one due time.
func (r *recorder) batch(due, now time.Time, n int) {
	r.mu.Lock()
	for range n {
		r.oneLocked(due, now)
	}
	r.mu.Unlock()
}

func (r *recorder) oneLocked(due, now time.Time) {
	r.all++
	r.counted++
	d := now.Sub(due)
	r.interval.Record(d)
	if !due.Before(r.begin) && due.Before(r.end) {
		r.total.Record(d)
	}
	if !now.Before(r.begin) && now.Before(r.end) {
		r.inWindow++
	}
}

// look adds what happened since the last look to h, and forgets it.
func (r *recorder) look(h *measure.Histogram) (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.Merge(r.interval)
	r.interval.Reset()
	n, r.counted = r.counted, 0
	return n
}

// count is all that came so far.
func (r *recorder) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// reopen starts a new measured time, in which nothing is counted yet, and returns the histogram of the old one.
func (r *recorder) reopen(begin, end time.Time) *measure.Histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.total
	r.total, r.begin, r.end, r.inWindow = measure.NewHistogram(), begin, end, 0
	return old
}
