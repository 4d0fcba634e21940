package balancer

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Balancer is what the decisions of earlier rounds leave for later ones. It has no clock: a round is the unit of its time. It belongs to one goroutine.
type Balancer struct {
	round    int
	suspects map[int32]*suspicion
	moved    map[int64]int // partition -> the round that moved it
	trials   map[string]*trial
	streaks  map[string]int // goal -> rounds in a row in which it had reason to act
	taking   []int32        // the brokers that took part in the last round
}

// trial remembers what a goal promised and did not keep.
type trial struct {
	before, promised float64 // the imbalance when it acted, and what was to become of it
	cut              bool    // it would have made more moves than a round may
	scale            float64 // of the load then
	due              int     // the round that looks at what came of it; 0: nothing to look at
	failures         int
	until            int // the goal rests up to this round
}

// New returns a Balancer that has seen nothing.
func New() *Balancer {
	return &Balancer{suspects: make(map[int32]*suspicion), moved: make(map[int64]int), trials: make(map[string]*trial), streaks: make(map[string]int)}
}

const (
	// steadyRounds is for how many rounds in a row a broker has to be outside of a band before the goal acts; from grossShare times the deviation on it acts at once.
	steadyRounds = 3
	grossShare   = 2
	// settleRounds is for how many rounds a partition stays where a goal has put it.
	settleRounds = 3
	// trialRounds is after how many rounds a goal's moves are judged by what has been measured since.
	trialRounds = 2
	// maxRest bounds the rounds that a goal rests after moves that did not help enough: 2, 4, 8 ...
	maxRest = 64
	// otherLoad is the change of the load from which on a goal forgets its failures.
	otherLoad = 0.25
)

// Plan is the outcome of a round.
type Plan struct {
	Moves   []Move         `json:"moves"`
	Goals   []GoalReport   `json:"goals"`
	Brokers []BrokerReport `json:"brokers"`
	Notes   []string       `json:"notes"`
}

// GoalReport says how a goal sees the cluster.
type GoalReport struct {
	Name     string  `json:"name"`
	Resource string  `json:"resource"`
	Unit     string  `json:"unit"`
	Average  float64 `json:"average"` // of the brokers that take part; 0 for capacity goals
	Low      float64 `json:"low"`     // the band outside of which it acts; 0: none
	High     float64 `json:"high"`
	// Imbalance is the largest distance of a broker from the average (from the limit, of a capacity goal), as a share; After is that after the plan.
	Imbalance float64 `json:"imbalance"`
	After     float64 `json:"after"`
	Acts      bool    `json:"acts"`
	Verdict   string  `json:"verdict"`
}

// BrokerReport says what a broker carries, and whether it takes part.
type BrokerReport struct {
	ID           int32              `json:"id"`
	State        string             `json:"state"` // balanced, or why it does not take part: fenced, draining, excluded, stale, slow
	Why          string             `json:"why"`
	Partitions   int                `json:"partitions"`
	Load         map[string]float64 `json:"load"`     // by resource
	After        map[string]float64 `json:"after"`    // with the plan
	Capacity     map[string]float64 `json:"capacity"` // those known
	AppendMicros int64              `json:"append_median_us"`
}

// Clone returns a copy with a life of its own, for a plan that is not carried out.
func (b *Balancer) Clone() *Balancer {
	c := &Balancer{round: b.round, suspects: make(map[int32]*suspicion), moved: maps.Clone(b.moved), trials: make(map[string]*trial),
		streaks: maps.Clone(b.streaks), taking: b.taking}
	for id, u := range b.suspects {
		v := *u
		c.suspects[id] = &v
	}
	for name, t := range b.trials {
		v := *t
		c.trials[name] = &v
	}
	return c
}

// Rounds is how many rounds there have been.
func (b *Balancer) Rounds() int { return b.round }

// Slow lists the brokers that count as slow.
func (b *Balancer) Slow() []int32 {
	var out []int32
	for id, u := range b.suspects {
		if u.hold > 0 {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// Round makes the plan for a cluster, which the caller carries out. The same rounds give the same plans. With s.Enabled false the plan says what the goals
// would do, and only Plan.Drains is expected to be carried out.
func (b *Balancer) Round(c Cluster, s Settings) Plan {
	b.round++
	clean(&c)
	slow := b.judge(c.Brokers, s.Slow)
	for id, r := range b.moved {
		if b.round-r > settleRounds {
			delete(b.moved, id)
		}
	}
	m := newModel(c, slow, func(id int64) bool { _, ok := b.moved[id]; return ok })
	before := make([]Load, len(m.nodes))
	for i := range m.nodes {
		before[i] = m.nodes[i].use
	}
	brokers := m.taking()
	ids := make([]int32, len(brokers))
	for k, i := range brokers {
		ids[k] = m.nodes[i].ID
	}
	if !slices.Equal(ids, b.taking) { // other brokers, other ways
		b.taking = ids
		clear(b.trials)
	}
	p := Plan{Notes: []string{}}
	m.leave(&p, s, brokers)
	targets := make([]target, len(s.Goals))
	for g, goal := range s.Goals {
		targets[g] = m.target(goal, brokers)
	}
	for g := range targets {
		p.Goals = append(p.Goals, b.pursue(m, targets, g, brokers, s))
	}
	p.Moves = m.moves()
	carriedOut := p.Moves
	if !s.Enabled {
		carriedOut = p.Drains()
	}
	for _, mv := range carriedOut {
		b.moved[mv.ID] = b.round
	}
	p.Brokers = m.report(before)
	if m.planned() >= s.MaxMoves {
		p.Notes = append(p.Notes, fmt.Sprintf("the plan is cut at %d moves; the next round goes on", s.MaxMoves))
	}
	return p
}

// clean replaces numbers that cannot be.
func clean(c *Cluster) {
	c.Brokers, c.Partitions = slices.Clone(c.Brokers), slices.Clone(c.Partitions)
	for i := range c.Brokers {
		for r := range numResources {
			c.Brokers[i].Own[r], c.Brokers[i].Capacity[r] = finite(c.Brokers[i].Own[r]), finite(c.Brokers[i].Capacity[r])
		}
	}
	for i := range c.Partitions {
		for r := range numResources {
			c.Partitions[i].Load[r] = finite(c.Partitions[i].Load[r])
		}
	}
}

// Reasons of moves that no goal asks for.
const (
	whyDraining = "draining"
	whySlow     = "slow broker"
)

// leave moves everything off draining brokers, and what is in use off slow ones.
func (m *model) leave(p *Plan, s Settings, brokers []int32) {
	for i := range m.nodes {
		n := &m.nodes[i]
		switch {
		case n.Fenced:
		case n.Draining:
			if left := m.evacuate(int32(i), whyDraining, s.Goals, brokers, s.MaxMoves, false); left > 0 && len(brokers) == 0 {
				p.Notes = append(p.Notes, fmt.Sprintf("broker %d drains, but there is no broker that could take its partitions", n.ID))
			}
		case n.slow != "" && !n.Excluded:
			if left := m.evacuate(int32(i), whySlow, s.Goals, brokers, s.MaxMoves, true); left > 0 && len(brokers) == 0 {
				p.Notes = append(p.Notes, fmt.Sprintf("broker %d is slow, but there is no broker that could take its load", n.ID))
			}
		}
	}
}

// pursue works on one goal.
func (b *Balancer) pursue(m *model, targets []target, g int, brokers []int32, s Settings) GoalReport {
	t := &targets[g]
	r := GoalReport{Name: t.Name, Resource: t.Resource.String(), Unit: t.Resource.Unit(), Average: t.avg, Imbalance: t.imbalance(m, brokers)}
	if !t.Capacity && (t.Resource == CPU || t.Resource == WALFill) {
		r.Unit = "of capacity"
	}
	if len(brokers) > 0 {
		lo, hi := t.outer[brokers[0]].low, t.outer[brokers[0]].high
		w := 1.0
		if !t.Capacity {
			w = m.nodes[brokers[0]].weight(t.Resource)
		}
		if !math.IsInf(lo, -1) {
			r.Low = lo / w
		}
		if !math.IsInf(hi, 1) {
			r.High = hi / w
		}
	}
	r.After = r.Imbalance
	within := !t.triggered(m, brokers)
	rest := b.look(t, r.Imbalance, within)
	switch {
	case len(brokers) < 2:
		r.Verdict = "fewer than two brokers take part"
		return r
	case within:
		delete(b.streaks, t.Name)
		r.Verdict = "every broker is within the band"
		return r
	case !b.steady(t, r.Imbalance):
		r.Verdict = "a broker is outside of the band, but not by much and not for long"
		return r
	case rest > 0:
		r.Verdict = fmt.Sprintf("waits for %d rounds, to see what its last moves bring", rest)
		if b.trials[t.Name].due == 0 {
			r.Verdict = fmt.Sprintf("rests for %d rounds: its last moves did not bring every broker into the band", rest)
		}
		return r
	}
	planned := len(m.order)
	from := slices.Clone(m.leader)
	share := m.reach(targets, g, brokers, s.MaxMoves) / (t.scale * t.mean)
	if t.Capacity {
		share = math.Inf(1) // what is too much is never trivial
	}
	if share > 0 && share < t.Trivial {
		for i := range m.leader {
			if m.leader[i] != from[i] {
				m.shift(int32(i), from[i])
			}
		}
		for _, p := range m.order[planned:] {
			m.first[p] = ""
		}
		m.order = m.order[:planned]
		r.Verdict = fmt.Sprintf("what could be moved is %.1f%% of the average, less than the %.0f%% that are worth it", 100*share, 100*t.Trivial)
		return r
	}
	r.After = t.imbalance(m, brokers)
	r.Acts = len(m.order) > planned || !slices.Equal(from, m.leader)
	if r.Acts && s.Enabled {
		b.promise(t, r.Imbalance, r.After, m.planned() >= s.MaxMoves)
	}
	r.Verdict = m.verdict(targets, g, brokers, r.Acts)
	return r
}

// steady says that a goal has had reason to act for some rounds, or has a strong one.
func (b *Balancer) steady(t *target, imbalance float64) bool {
	b.streaks[t.Name]++
	return t.Capacity || imbalance > grossShare*t.Deviation && b.trials[t.Name] == nil || b.streaks[t.Name] >= steadyRounds
}

// look judges what a goal has promised, when it is time, and returns for how many rounds it has to rest.
func (b *Balancer) look(t *target, now float64, within bool) int {
	tr := b.trials[t.Name]
	if tr == nil {
		return 0
	}
	if math.Abs(t.scale-tr.scale) > otherLoad*tr.scale {
		delete(b.trials, t.Name) // what was learnt was learnt of another load
		return 0
	}
	if tr.due > 0 && b.round >= tr.due {
		tr.due = 0
		switch {
		case within:
			delete(b.trials, t.Name)
			return 0
		case tr.cut:
		case tr.promised > 0.75*tr.before || now > tr.before-0.5*(tr.before-tr.promised):
			tr.failures++
			tr.until = b.round + min(1<<tr.failures, maxRest)
		}
	}
	if tr.cut && tr.due > 0 {
		return 0 // there is more to do than one round may
	}
	return max(tr.until, tr.due) - b.round
}

// promise notes what a goal's moves are to bring.
func (b *Balancer) promise(t *target, before, promised float64, cut bool) {
	tr := b.trials[t.Name]
	if tr == nil {
		tr = &trial{}
		b.trials[t.Name] = tr
	}
	tr.before, tr.promised, tr.cut, tr.scale, tr.due = before, promised, cut, t.scale, b.round+trialRounds
}

// verdict says what a goal does, and why not more.
func (m *model) verdict(targets []target, g int, brokers []int32, acts bool) string {
	t := &targets[g]
	var stuck []string
	for _, i := range brokers {
		n := &m.nodes[i]
		e := t.outer[i].excess(n.use[t.Resource])
		if e == 0 {
			continue
		}
		side, hint := "above", ""
		if e < 0 {
			side = "below"
		} else if p := m.largest(i, t.Resource); p != nil {
			hint = fmt.Sprintf("; its largest partition, %s-%d, has %s", p.Topic, p.Index, t.Resource.format(p.Load[t.Resource]))
		}
		stuck = append(stuck, fmt.Sprintf("broker %d stays %s the band by %s%s", n.ID, side, t.Resource.format(math.Abs(e)), hint))
	}
	switch {
	case len(stuck) == 0:
		return "the plan brings every broker into the band"
	case acts:
		return "the plan helps, but " + strings.Join(stuck, ", ")
	}
	return "no move helps without harm to a goal before it: " + strings.Join(stuck, ", ")
}

func (m *model) largest(broker int32, r Resource) *Partition {
	var best *Partition
	for _, i := range m.nodes[broker].parts {
		if p := &m.parts[i]; best == nil || p.Load[r] > best.Load[r] || p.Load[r] == best.Load[r] && p.ID < best.ID {
			best = p
		}
	}
	return best
}

// report describes the brokers before and after the plan.
func (m *model) report(before []Load) []BrokerReport {
	named := func(l *Load) map[string]float64 {
		out := make(map[string]float64, numResources)
		for r := range numResources {
			out[r.String()] = l[r]
		}
		return out
	}
	var out []BrokerReport
	for i := range m.nodes {
		n := &m.nodes[i]
		r := BrokerReport{ID: n.ID, State: "balanced", Why: n.Why, Partitions: int(before[i][PartitionCount]), Load: named(&before[i]), After: named(&n.use),
			Capacity: make(map[string]float64), AppendMicros: n.Append.MedianMicros}
		for res := range numResources {
			if n.Capacity[res] > 0 {
				r.Capacity[res.String()] = n.Capacity[res]
			}
		}
		switch {
		case n.Fenced:
			r.State = "fenced"
		case n.Draining:
			r.State = "draining"
		case n.Excluded:
			r.State = "excluded"
		case n.Stale:
			r.State = "stale"
		case n.slow != "":
			r.State, r.Why = "slow", n.slow
		}
		out = append(out, r)
	}
	return out
}

// Drains are the moves of a plan that take partitions off draining brokers: what is carried out while the balancer is switched off.
func (p *Plan) Drains() []Move {
	return slices.DeleteFunc(slices.Clone(p.Moves), func(m Move) bool { return !m.Drains() })
}

// Drains says that the move is made because its broker drains.
func (m Move) Drains() bool { return m.Why == whyDraining }

// Imbalance is the largest imbalance of any goal.
func (p *Plan) Imbalance() float64 {
	worst := 0.0
	for _, g := range p.Goals {
		worst = max(worst, g.Imbalance)
	}
	return worst
}
