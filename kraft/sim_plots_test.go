package kraft

import (
	"slices"
	"time"
)

// Some faults show only when several things go wrong one after the other, which chance alone hardly ever brings about. A plot is such a sequence; everything else goes
// on meanwhile, other faults too, so that none need succeed.

// simPlot is a part of a sequence, with the time at which it is due.
type simPlot struct {
	at time.Time
	do func()
}

// after makes something happen later, unless the weather calms before.
func (s *simulation) after(d time.Duration, do func()) {
	s.plots = append(s.plots, simPlot{s.now.Add(d), do})
}

// unfold does what is due.
func (s *simulation) unfold() {
	var due []simPlot
	left := s.plots[:0]
	for _, p := range s.plots {
		if s.calm || !p.at.After(s.now) {
			due = append(due, p)
		} else {
			left = append(left, p)
		}
	}
	s.plots = left
	if s.calm {
		return
	}
	for _, p := range due {
		p.do()
	}
}

// leading is the node that leads in the highest term, nil if there is none.
func (s *simulation) leading() *simNode {
	var best *simNode
	for _, n := range s.nodes {
		if n.up && n.core.status.Load().isLeader && (best == nil || n.core.status.Load().term > best.core.status.Load().term) {
			best = n
		}
	}
	return best
}

// next has a node stand for election, while the others do not know of a leader and have patience.
func (s *simulation) next(n *simNode) {
	for _, other := range s.nodes {
		if other.up && !other.core.status.Load().isLeader {
			_ = other.core.rn.ForgetLeader()
			other.heard, other.patient = s.now, 4*simElection
		}
	}
	n.heard = s.now.Add(-time.Hour)
}

// cutOff separates a controller from the other controllers; brokers reach it.
func (s *simulation) cutOff(n *simNode, until time.Time) {
	for _, other := range s.nodes {
		s.cuts[[2]int32{n.id, other.id}], s.cuts[[2]int32{other.id, n.id}] = until, until
	}
}

// another is a random member of the quorum that is up, other than n; nil if there is none.
func (s *simulation) another(n *simNode) *simNode {
	for range 10 {
		o := s.nodes[s.rng.IntN(len(s.nodes))]
		if v, ok := n.image().Voter(o.id); o != n && o.up && ok && !v.Learner {
			return o
		}
	}
	return nil
}

// returnUnaware: a leader whose entries are applied late loses the leadership and wins it back before its controller knows of either.
func (s *simulation) returnUnaware() {
	n := s.leading()
	if n == nil {
		return
	}
	other := s.another(n)
	if other == nil {
		return
	}
	s.counts["leads again, unaware"]++
	n.lazy = s.now.Add(8 * simElection)
	s.cutOff(n, s.now.Add(2*simElection))
	s.next(other)
	s.after(7*simElection/2, func() {
		if now := s.leading(); n.up && now != nil && now != n {
			s.cutOff(now, s.now.Add(3*simElection))
			s.next(n)
		}
	})
}

// standUnwritten: a voter whose disk is slow stands for election when all are there and nobody leads, and crashes when it has won.
func (s *simulation) standUnwritten(n *simNode) {
	leader := s.leading()
	if member, ok := n.member(); !n.up || !ok || !member || leader == nil || leader == n {
		return
	}
	s.counts["stands with a slow disk"]++
	clear(s.cuts)
	leader.crash()
	for _, other := range s.nodes {
		if !other.up {
			other.start()
		}
		other.paused = s.now
	}
	n.slow, n.doom = s.now.Add(4*simElection), whenNewLeader
	s.next(n)
}

// answerAsleep: a leader is stopped, another one is elected, and when the first goes on it finds the requests that have waited for it before anything else.
func (s *simulation) answerAsleep() {
	n := s.leading()
	if n == nil || !n.ctl.active() {
		return
	}
	s.counts["wakes up to requests"]++
	const asleep = 12 * simElection
	n.paused = s.now.Add(asleep)
	for d := time.Duration(0); d < asleep/2; d += 3 * simElection { // until somebody wins
		s.after(d, func() {
			if other := s.another(n); other != nil && s.leading() == n {
				s.next(other)
			}
		})
	}
	s.after(asleep, func() {
		var waited []*simCall
		for _, c := range s.late {
			if c.to == n.id {
				waited = append(waited, c)
			}
		}
		s.late = slices.DeleteFunc(s.late, func(c *simCall) bool { return c.to == n.id })
		for _, c := range waited {
			s.serve(c)
		}
		if s.collect(); n.up {
			n.core.deliver()
		}
	})
}

// leadRemoved: a node whose removal was just proposed comes to lead before it knows what became of that.
func (s *simulation) leadRemoved(leader, removed *simNode) {
	s.after(time.Duration(30+s.rng.IntN(120))*time.Millisecond, func() {
		if !removed.up || !leader.up {
			return
		}
		s.counts["stands with its removal"]++
		s.cutOff(leader, s.now.Add(2*simElection))
		s.next(removed)
	})
}

// expelled plots what may follow the proposal to remove a node.
func (s *simulation) expelled(leader, removed *simNode) {
	voters := 0
	for _, v := range leader.image().Voters() {
		if !v.Learner {
			voters++
		}
	}
	switch {
	case voters == 2 && s.rng.IntN(2) == 0:
		leader.ctl.mu.Lock()
		at := leader.ctl.mu.tail.Offset()
		leader.ctl.mu.Unlock()
		leader.lazy = s.now.Add(5 * simElection)
		s.forgetRemoval(leader, removed, at, leader.life, 5*simElection)
	case s.rng.IntN(3) == 0:
		s.leadRemoved(leader, removed)
	}
}

// forgetRemoval: of two voters one is removed, by the entry at. It is written on both, and the leader's disk is slow from then on, so that the other has more; when that one
// knows that it is removed, the leader crashes, and comes back without that knowledge.
func (s *simulation) forgetRemoval(leader, removed *simNode, at int64, life int, within time.Duration) {
	if within <= 0 || !leader.up || leader.life != life || !removed.up {
		return
	}
	wrote, _ := leader.disk.mem.LastIndex()
	more, _ := removed.disk.mem.LastIndex()
	if member, ok := removed.member(); ok && !member && more > wrote {
		s.counts["forgets a removal"]++
		leader.crash()
		leader.start()
		return
	}
	if wrote >= uint64(at) {
		leader.slow = s.now.Add(20 * time.Millisecond)
	}
	s.after(10*time.Millisecond, func() { s.forgetRemoval(leader, removed, at, life, within-10*time.Millisecond) })
}
