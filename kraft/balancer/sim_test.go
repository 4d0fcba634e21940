package balancer

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

var simSeed = flag.Uint64("balance.seed", 0, "run one seed of the simulations")

// seeds calls fn for each seed of a simulation and says how to repeat a failure.
func seeds(t *testing.T, n int, fn func(t *testing.T, seed uint64)) {
	if os.Getenv("RINGMQ_SOAK") != "" {
		n *= 50
	}
	first, last := uint64(1), uint64(n)
	if *simSeed != 0 {
		first, last = *simSeed, *simSeed
	}
	for seed := first; seed <= last; seed++ {
		fn(t, seed)
		if t.Failed() {
			t.Fatalf("replay: go test ./kraft/balancer -run '^%s$' -balance.seed=%d", t.Name(), seed)
		}
	}
}

// world is a simulated cluster: true loads, and brokers that carry them.
type world struct {
	rng      *rand.Rand
	parts    []Partition // Load is the true one
	nodes    []Broker
	noise    float64        // of what is measured, as a share
	seenLoad map[int64]Load // measured so far, smoothed as the controller does
}

// newWorld makes brokers and partitions whose loads are spread over orders of magnitude, as those of real topics are.
func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7))}
	for i := range 2 + w.rng.IntN(8) {
		b := Broker{ID: int32(i * 3)}
		b.Capacity[CPU], b.Capacity[WALFill] = float64(int(2)<<w.rng.IntN(3)), 2<<30
		b.Capacity[NetworkIn], b.Capacity[NetworkOut] = 1<<30, 1<<30
		b.Own[CPU] = 0.05
		w.nodes = append(w.nodes, b)
	}
	n := 1 + w.rng.IntN(400)
	for i := range n {
		p := Partition{ID: int64(i + 1), Topic: fmt.Sprint("t", w.rng.IntN(10)), Index: int32(i), Leader: w.nodes[w.rng.IntN(len(w.nodes))].ID}
		if w.rng.IntN(4) > 0 {
			p.Load[NetworkIn] = math.Exp(w.rng.NormFloat64()) * (1 << 20)
			p.Load[NetworkOut] = p.Load[NetworkIn] * float64(w.rng.IntN(4))
			p.Load[QueryRate] = p.Load[NetworkIn] / (1 << 14)
			p.Load[CPU] = p.Load[QueryRate] / 20_000
			p.Load[WALFill] = p.Load[NetworkIn] * 5
		}
		w.parts = append(w.parts, p)
	}
	if w.rng.IntN(2) == 0 { // everything on one broker
		for i := range w.parts {
			w.parts[i].Leader = w.nodes[0].ID
		}
	}
	return w
}

// seen is the cluster as it is measured in one round.
func (w *world) seen() Cluster {
	c := Cluster{Brokers: slices.Clone(w.nodes), Partitions: slices.Clone(w.parts)}
	if w.noise > 0 {
		w.measure(c.Partitions)
	}
	w.rng.Shuffle(len(c.Partitions), func(i, j int) { c.Partitions[i], c.Partitions[j] = c.Partitions[j], c.Partitions[i] })
	w.rng.Shuffle(len(c.Brokers), func(i, j int) { c.Brokers[i], c.Brokers[j] = c.Brokers[j], c.Brokers[i] })
	return c
}

// measure replaces true loads by wavering ones.
func (w *world) measure(parts []Partition) {
	if w.seenLoad == nil {
		w.seenLoad = make(map[int64]Load)
	}
	for i := range parts {
		p := &parts[i]
		old, known := w.seenLoad[p.ID]
		for r := range numResources {
			p.Load[r] *= 1 + w.noise*(2*w.rng.Float64()-1)
			if known {
				p.Load[r] = (p.Load[r] + old[r]) / 2
			}
		}
		w.seenLoad[p.ID] = p.Load
	}
}

// carry makes a plan's moves.
func (w *world) carry(t *testing.T, moves []Move) {
	t.Helper()
	seen := make(map[int64]bool)
	for _, m := range moves {
		i := slices.IndexFunc(w.parts, func(p Partition) bool { return p.ID == m.ID })
		if i < 0 || w.parts[i].Leader != m.From || m.From == m.To || seen[m.ID] {
			t.Fatalf("a move that cannot be: %+v", m)
		}
		seen[m.ID] = true
		w.parts[i].Leader = m.To
	}
}

func (w *world) broker(id int32) *Broker {
	return &w.nodes[slices.IndexFunc(w.nodes, func(b Broker) bool { return b.ID == id })]
}

// checkMoves: nothing is moved to where it must not be, and nothing that must stay.
func (w *world) checkMoves(t *testing.T, moves []Move, s Settings) {
	t.Helper()
	if len(moves) > s.MaxMoves+1 { // an exchange may be cut by one
		t.Errorf("%d moves, allowed are %d", len(moves), s.MaxMoves)
	}
	for _, m := range moves {
		p := w.parts[slices.IndexFunc(w.parts, func(p Partition) bool { return p.ID == m.ID })]
		from, to := w.broker(m.From), w.broker(m.To)
		switch {
		case to.Fenced || to.Draining || to.Excluded || to.Stale:
			t.Errorf("%+v goes to %+v", m, to)
		case from.Fenced || from.Stale || from.Excluded && !from.Draining:
			t.Errorf("%+v comes from %+v", m, from)
		case p.Busy || p.Excluded && !from.Draining:
			t.Errorf("%+v is not to be moved", m)
		}
	}
}

// TestConverges: under a constant load a cluster comes to rest within a few rounds and stays there, whatever its brokers and partitions are like, and at
// rest no single move of one partition would bring a broker nearer to a band that a goal sees it outside of, unless a goal before it would lose.
func TestConverges(t *testing.T) {
	seeds(t, 120, func(t *testing.T, seed uint64) {
		w := newWorld(seed)
		s := Defaults()
		s.MaxMoves = 20 + w.rng.IntN(200)
		for i := range w.nodes {
			if n := &w.nodes[i]; i > 0 && w.rng.IntN(6) == 0 {
				switch w.rng.IntN(4) {
				case 0:
					n.Fenced = true
				case 1:
					n.Excluded = true
				case 2:
					n.Stale = true
				case 3:
					n.Draining = true
				}
			}
		}
		for i := range w.parts {
			w.parts[i].Excluded = w.rng.IntN(20) == 0
		}
		b := New()
		quiet, last := 0, 0
		for round := 1; round <= 150 && quiet < 40; round++ {
			plan := b.Round(w.seen(), s)
			w.checkMoves(t, plan.Moves, s)
			w.carry(t, plan.Moves)
			if quiet++; len(plan.Moves) > 0 {
				quiet, last = 0, round
			}
		}
		if quiet < 40 {
			t.Errorf("still moving in round %d", last)
		}
		for i := range w.nodes {
			if n := &w.nodes[i]; n.Draining && !n.Fenced && slices.ContainsFunc(w.parts, func(p Partition) bool { return p.Leader == n.ID }) &&
				slices.ContainsFunc(w.nodes, func(o Broker) bool { return !o.Draining && !o.Fenced && !o.Excluded && !o.Stale }) {
				t.Errorf("broker %d still has partitions", n.ID)
			}
		}
		w.atRest(t, s)
	})
}

// atRest looks for a move that should have been made.
func (w *world) atRest(t *testing.T, s Settings) {
	t.Helper()
	m := newModel(w.seen(), nil, func(int64) bool { return false })
	brokers := m.taking()
	targets := make([]target, len(s.Goals))
	for g := range s.Goals {
		targets[g] = m.target(s.Goals[g], brokers)
	}
	for g := range targets {
		tg := &targets[g]
		if !tg.triggered(m, brokers) || tg.imbalance(m, brokers) <= tg.Deviation+tg.Trivial {
			continue // what would repair so little may be trivial
		}
		for p := range m.parts {
			for _, to := range brokers {
				from := m.leader[p]
				if m.fixed[p] || from == to || !m.nodes[from].takesPart() || tg.outer[from].excess(m.nodes[from].use[tg.Resource]) <= 0 && tg.outer[to].excess(m.nodes[to].use[tg.Resource]) >= 0 {
					continue
				}
				// Smaller gains may have been passed over as trivial.
				if x := m.parts[p].Load[tg.Resource]; x > tg.Trivial*tg.scale*tg.mean && score(m, targets, g, from, to, &m.parts[p].Load) > 0 {
					t.Errorf("%s: %s-%d (%s) could go from %d to %d", tg.Name, m.parts[p].Topic, m.parts[p].Index, tg.Resource.format(x), m.nodes[from].ID, m.nodes[to].ID)
					return
				}
			}
		}
	}
}

// TestManySmallPartitionsLevel: with enough partitions of like size every broker ends inside every band that a goal has.
func TestManySmallPartitionsLevel(t *testing.T) {
	seeds(t, 100, func(t *testing.T, seed uint64) {
		w := newWorld(seed)
		for i := range w.nodes {
			w.nodes[i].Capacity[CPU] = 4
		}
		w.parts = w.parts[:0]
		for i := range 60 * len(w.nodes) {
			p := Partition{ID: int64(i + 1), Topic: "t", Index: int32(i), Leader: w.nodes[w.rng.IntN(1+w.rng.IntN(len(w.nodes)))].ID}
			size := 0.5 + w.rng.Float64()
			p.Load = Load{NetworkIn: size * (1 << 20), NetworkOut: 2 * size * (1 << 20), QueryRate: 50 * size, CPU: 0.01 * size, WALFill: size * (1 << 20)}
			w.parts = append(w.parts, p)
		}
		b, s := New(), Defaults()
		var plan Plan
		for range 12 {
			plan = b.Round(w.seen(), s)
			w.carry(t, plan.Moves)
		}
		for _, g := range plan.Goals {
			// The goal of counts comes last: what the others need may leave it no way.
			if g.Acts || g.Average > 0 && g.Imbalance > 0.12 && g.Resource != PartitionCount.String() {
				t.Errorf("%s: imbalance %.3f, acts %t: %s", g.Name, g.Imbalance, g.Acts, g.Verdict)
			}
		}
	})
}

// TestNoisePingPong: figures that waver do not keep partitions on the move. Few moves are made after the first rounds, and none goes straight back.
func TestNoisePingPong(t *testing.T) {
	seeds(t, 60, func(t *testing.T, seed uint64) {
		w := newWorld(seed)
		w.noise = 0.15
		b, s := New(), Defaults()
		late := 0
		type step struct {
			round    int
			from, to int32
		}
		last := make(map[int64]step)
		for round := range 120 {
			plan := b.Round(w.seen(), s)
			w.carry(t, plan.Moves)
			for _, m := range plan.Moves {
				if p, ok := last[m.ID]; ok && round-p.round <= settleRounds {
					t.Errorf("partition %d moved in rounds %d and %d", m.ID, p.round, round)
				}
				last[m.ID] = step{round, m.From, m.To}
			}
			if round >= 20 {
				late += len(plan.Moves)
			}
		}
		if late > 100+len(w.parts)/2 {
			t.Errorf("%d moves of %d partitions in the last 100 rounds", late, len(w.parts))
		}
	})
}

// TestWrongModelRests: a goal whose moves do not bring what the model promises, because the load does not follow the partitions, acts ever more rarely.
func TestWrongModelRests(t *testing.T) {
	seeds(t, 50, func(t *testing.T, seed uint64) {
		w := newWorld(seed)
		w.parts = w.parts[:0]
		for i := range 40 {
			p := Partition{ID: int64(i + 1), Topic: "t", Index: int32(i), Leader: w.nodes[i%len(w.nodes)].ID}
			w.parts = append(w.parts, p)
		}
		s := Defaults()
		s.Goals = slices.DeleteFunc(s.Goals, func(g Goal) bool { return g.Resource != CPU || g.Capacity })
		b := New()
		moves, acted := 0, 0
		for range 200 {
			c := w.seen()
			for i := range c.Partitions { // whatever the first broker leads, it seems to cost much
				if p := &c.Partitions[i]; p.Leader == 0 {
					p.Load[CPU] = 0.5
				} else {
					p.Load[CPU] = 0.01
				}
			}
			n := 0
			for i := range c.Partitions {
				if c.Partitions[i].Leader == 0 {
					n++
				}
			}
			for i := range c.Partitions {
				if p := &c.Partitions[i]; p.Leader == 0 { // its processor is busy with the same work however few they are
					p.Load[CPU] = 4 / float64(n)
				}
			}
			plan := b.Round(c, s)
			w.carry(t, plan.Moves)
			moves += len(plan.Moves)
			if len(plan.Moves) > 0 {
				acted++
			}
		}
		if acted > 25 {
			t.Errorf("acted in %d rounds, %d moves", acted, moves)
		}
	})
}

// TestSameRoundsSamePlans: plans depend on what is seen alone, not on the order in which it is listed.
func TestSameRoundsSamePlans(t *testing.T) {
	seeds(t, 40, func(t *testing.T, seed uint64) {
		one, two := newWorld(seed), newWorld(seed)
		two.rng = rand.New(rand.NewPCG(seed, 8)) // another order
		b, c, s := New(), New(), Defaults()
		for range 6 {
			p, q := b.Round(one.seen(), s), c.Round(two.seen(), s)
			if !slices.EqualFunc(p.Moves, q.Moves, func(x, y Move) bool { return x.ID == y.ID && x.From == y.From && x.To == y.To && x.Why == y.Why }) {
				t.Fatalf("plans differ:\n%v\n%v", p.Moves, q.Moves)
			}
			one.carry(t, p.Moves)
			two.carry(t, q.Moves)
		}
	})
}

// TestWaves: waves keep the limits, and are all the moves, each once.
func TestWaves(t *testing.T) {
	seeds(t, 100, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var moves []Move
		for i := range rng.IntN(500) {
			moves = append(moves, Move{ID: int64(i), Topic: fmt.Sprint("t", rng.IntN(4)), From: int32(rng.IntN(20)), To: 20 + int32(rng.IntN(4))})
		}
		l := DefaultWaveLimits(1+rng.IntN(50), func(string) int { return 60 })
		done := make(map[int64]bool)
		for rest := moves; len(rest) > 0; {
			var wave []Move
			wave, rest = NextWave(rest, l)
			if len(wave) == 0 {
				t.Fatal("an empty wave")
			}
			from, to, topics, sources := map[int32]int{}, map[int32]int{}, map[string]int{}, map[int32]map[int32]bool{}
			for _, m := range wave {
				if done[m.ID] {
					t.Fatal("a move twice")
				}
				done[m.ID] = true
				from[m.From]++
				to[m.To]++
				topics[m.Topic]++
				if sources[m.To] == nil {
					sources[m.To] = map[int32]bool{}
				}
				sources[m.To][m.From] = true
				if from[m.From] > l.PerBroker || to[m.To] > l.PerBroker || topics[m.Topic] > 30 || len(sources[m.To]) > l.Sources {
					t.Fatalf("a limit is broken by %+v", m)
				}
			}
		}
		if len(done) != len(moves) {
			t.Errorf("%d of %d moves", len(done), len(moves))
		}
	})
}
