package measure

import "time"

// Schedule is a uniform sequence of due times. The zero value is no schedule.
type Schedule struct {
	first time.Time
	rate  float64 // a second
}

// NewSchedule starts at first and has rate due times a second.
//
// REQUIRES: rate > 0.
func NewSchedule(first time.Time, rate float64) Schedule {
	if rate <= 0 {
		panic("BUG: measure: a schedule without a rate")
	}
	return Schedule{first, rate}
}

// Share is the part of one of n generators that together keep the schedule: each has 1/n of the rate, and they take turns.
func (s Schedule) Share(index, n int) Schedule {
	return Schedule{s.At(int64(index)), s.rate / float64(n)}
}

// At is the due time of number i, from 0. It is computed from i and not added up, so that it does not drift.
func (s Schedule) At(i int64) time.Time {
	whole, part := int64(float64(i)/s.rate), 0.0
	part = float64(i)/s.rate - float64(whole)
	return s.first.Add(time.Duration(whole)*time.Second + time.Duration(part*float64(time.Second)))
}

// Due is how many due times lie at or before now.
func (s Schedule) Due(now time.Time) int64 {
	if now.Before(s.first) {
		return 0
	}
	n := int64(now.Sub(s.first).Seconds()*s.rate) + 1
	// Floating point may be off by one on either side.
	for n > 0 && s.At(n-1).After(now) {
		n--
	}
	for !s.At(n).After(now) {
		n++
	}
	return n
}
