package balancer

import (
	"fmt"
	"slices"
	"time"
)

// SlowSettings say when a broker counts as slow. Time is counted in rounds.
type SlowSettings struct {
	// A round is bad for a broker whose median append took at least Latency and at least Factor times as long as the median of the others, or that has an append
	// waiting for Stuck.
	Latency time.Duration
	Factor  float64
	Stuck   time.Duration
	// MinSamples is how many watched appends a median needs.
	MinSamples int
	// Rounds is how many bad rounds in a row make a broker slow (a stuck one is at once). Hold is how many rounds without a bad one it takes to
	// trust it again; it doubles with each relapse, MaxDoublings times at most.
	Rounds, Hold, MaxDoublings int
}

// SlowDefaults are the built-in values.
func SlowDefaults() SlowSettings {
	return SlowSettings{Latency: 50 * time.Millisecond, Factor: 4, Stuck: 10 * time.Second, MinSamples: 3, Rounds: 3, Hold: 30, MaxDoublings: 4}
}

// suspicion is what is remembered of one broker.
type suspicion struct {
	bad    int // bad rounds in a row
	hold   int // rounds until it is trusted again; > 0: it is slow
	times  int // times that it became slow, less those forgiven
	good   int // rounds since it was trusted again
	reason string
}

// judge looks at one round's latencies and returns why each broker that is slow is so.
//
// A broker that lost its load appends little, and looks well. So it is not its looks that bring the load back but time, which grows with every relapse: a
// broker with a broken disk is tried ever more rarely.
func (b *Balancer) judge(brokers []Broker, s SlowSettings) map[int32]string {
	live := 0
	verdicts := make(map[int32]string)
	for _, x := range brokers {
		if x.Fenced || x.Stale {
			continue
		}
		live++
		if why := badRound(x, brokers, s); why != "" {
			verdicts[x.ID] = why
		}
	}
	// When most do badly, what they have in common is to blame: the store, the network, the load itself.
	common := len(verdicts) > live/2
	slow := make(map[int32]string)
	seen := make(map[int32]bool, len(brokers))
	for _, x := range brokers {
		seen[x.ID] = true
		u := b.suspects[x.ID]
		why := verdicts[x.ID]
		switch {
		case x.Fenced || x.Stale || common: // nothing is learnt
		case why != "":
			if u == nil {
				u = &suspicion{}
				b.suspects[x.ID] = u
			}
			u.bad++
			u.good = 0
			stuck := x.Append.PendingMicros >= s.Stuck.Microseconds()
			if u.hold > 0 {
				u.hold = s.holdAfter(u.times)
				u.reason = why
			} else if u.bad >= s.Rounds || stuck {
				u.times++
				u.hold, u.reason = s.holdAfter(u.times), why
			}
		case u != nil:
			u.bad = 0
			if u.hold > 0 {
				u.hold--
				break
			}
			if u.good++; u.good >= s.holdAfter(u.times) {
				u.times, u.good = u.times-1, 0
			}
			if u.times <= 0 {
				delete(b.suspects, x.ID)
				u = nil
			}
		}
		if u != nil && u.hold > 0 {
			slow[x.ID] = fmt.Sprintf("%s; trusted again after %d rounds without this", u.reason, u.hold)
		}
	}
	for id := range b.suspects {
		if !seen[id] {
			delete(b.suspects, id)
		}
	}
	return slow
}

func (s SlowSettings) holdAfter(times int) int {
	return s.Hold << min(max(times-1, 0), s.MaxDoublings)
}

// badRound says what is wrong with a broker's appends, "" if nothing.
func badRound(x Broker, all []Broker, s SlowSettings) string {
	micros := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	if x.Append.PendingMicros >= s.Stuck.Microseconds() {
		return fmt.Sprintf("an append has waited for %v", micros(x.Append.PendingMicros).Round(time.Millisecond))
	}
	if x.Append.Samples < s.MinSamples || x.Append.MedianMicros < s.Latency.Microseconds() {
		return ""
	}
	var others []int64
	for _, o := range all {
		switch {
		case o.ID == x.ID || o.Fenced || o.Stale:
		case o.Append.Samples >= s.MinSamples:
			others = append(others, o.Append.MedianMicros)
		case o.Append.Appended: // too quick to be seen
			others = append(others, 0)
		}
	}
	if len(others) == 0 {
		return "" // nobody to compare with
	}
	slices.Sort(others)
	median := others[(len(others)-1)/2]
	if float64(x.Append.MedianMicros) < s.Factor*float64(median) {
		return ""
	}
	return fmt.Sprintf("appends take %v, those of the others %v", micros(x.Append.MedianMicros), micros(median))
}
