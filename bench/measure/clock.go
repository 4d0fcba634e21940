package measure

import "time"

// Clock gives nanoseconds of Unix time that never step back within a process: wall time at its start plus what the monotonic clock says
// since. Stamps of one clock subtract exactly; between processes of one machine they agree to within what the wall clock was set.
type Clock struct{ base time.Time }

// NewClock starts a clock.
func NewClock() Clock { return Clock{time.Now()} }

// Nanos is the stamp of t.
func (c Clock) Nanos(t time.Time) int64 { return c.base.UnixNano() + int64(t.Sub(c.base)) }

// Time is the time of a stamp.
func (c Clock) Time(nanos int64) time.Time {
	return c.base.Add(time.Duration(nanos - c.base.UnixNano()))
}
