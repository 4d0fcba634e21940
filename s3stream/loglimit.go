package s3stream

import (
	"sync"
	"time"
)

// logLimiter lets one log line of a subject through in each interval, and says how many were kept back since.
type logLimiter struct {
	now func() time.Time
	mu  sync.Mutex
	by  map[string]*limited
}

type limited struct {
	last  time.Time
	quiet int
}

// logEvery is the least time between two lines about the same thing.
const logEvery = 10 * time.Second

// allow reports whether a line about subject may be written now, and how many were suppressed before it.
func (l *logLimiter) allow(subject string) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[string]*limited)
	}
	now, e := l.now(), l.by[subject]
	if e == nil {
		e = &limited{}
		l.by[subject] = e
	} else if now.Sub(e.last) < logEvery {
		e.quiet++
		return 0, false
	}
	suppressed, e.quiet, e.last = e.quiet, 0, now
	return suppressed, true
}

// reset makes the next line about subject go through: the trouble is over. It returns whether there was any.
func (l *logLimiter) reset(subject string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, had := l.by[subject]
	delete(l.by, subject)
	return had
}
