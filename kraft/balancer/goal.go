package balancer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// band is where a goal wants one broker's use of its resource to be.
type band struct{ low, high float64 }

// target is a goal with its numbers for the brokers that take part.
type target struct {
	Goal
	scale float64 // what imbalances are relative to
	avg   float64 // of values; distribution goals only
	outer []band  // by broker index: outside of it the goal asks for moves
	guard []band  // goals of a lower priority may move it anywhere inside of this
	inner []band  // what moves aim at: so that what is reached once is not left again by the next change of the load
	mean  float64 // mean weight of the brokers
}

// What is left of a deviation by goals of a lower priority and by the goal itself.
const (
	guardShare = 0.75
	innerShare = 0.5
	// limitShare is what a capacity goal has in place of a deviation.
	limitShare = 0.1
)

func (m *model) target(g Goal, brokers []int32) target {
	t := target{Goal: g, outer: make([]band, len(m.nodes)), guard: make([]band, len(m.nodes)), inner: make([]band, len(m.nodes)), mean: 1}
	if g.Capacity {
		for _, i := range brokers {
			n := &m.nodes[i]
			limit := math.Inf(1)
			if n.Capacity[g.Resource] > 0 {
				limit = g.Threshold * n.Capacity[g.Resource]
				t.scale = max(t.scale, limit)
			}
			below := func(share float64) band { return band{math.Inf(-1), limit * (1 - limitShare*(1-share))} }
			t.outer[i], t.guard[i], t.inner[i] = below(1), below(guardShare), below(innerShare)
		}
		t.scale = cmp.Or(t.scale, 1)
		return t
	}
	t.avg = m.average(g.Resource, brokers)
	t.scale = max(t.avg, g.Threshold, math.SmallestNonzeroFloat32)
	for _, i := range brokers {
		w := m.nodes[i].weight(g.Resource)
		around := func(d float64) band {
			b := band{math.Inf(-1), w * max(t.avg*(1+d), g.Threshold)}
			if t.avg > g.Threshold {
				b.low = w * t.avg * (1 - d)
			}
			return b
		}
		t.outer[i], t.guard[i], t.inner[i] = around(g.Deviation), around(g.Deviation*guardShare), around(g.Deviation*innerShare)
		t.mean += (w - 1) / float64(len(brokers))
	}
	return t
}

// excess is how far a use lies outside of a band: > 0 above, < 0 below.
func (b band) excess(use float64) float64 {
	switch {
	case use > b.high:
		return use - b.high
	case use < b.low:
		return use - b.low
	}
	return 0
}

// unit is the use of a broker that counts as 1.
func (t *target) unit(n *node) float64 {
	if t.Capacity {
		return t.scale
	}
	return t.scale * n.weight(t.Resource)
}

// triggered says that a broker is outside of its outer band.
func (t *target) triggered(m *model, brokers []int32) bool {
	return slices.ContainsFunc(brokers, func(i int32) bool { return t.outer[i].excess(m.nodes[i].use[t.Resource]) != 0 })
}

// imbalance is the largest distance of a broker from where it should be, as a share: of the average for a distribution goal, of the limit for a
// capacity goal.
func (t *target) imbalance(m *model, brokers []int32) float64 {
	worst := 0.0
	for _, i := range brokers {
		n := &m.nodes[i]
		switch {
		case !t.Capacity:
			worst = max(worst, math.Abs(n.value(t.Resource)-t.avg)/t.scale)
		case !math.IsInf(t.outer[i].high, 1):
			worst = max(worst, (n.use[t.Resource]-t.outer[i].high)/t.outer[i].high)
		}
	}
	return worst
}

// change is by how much the sum over the brokers of (distance from their bands / scale)² grows when x of the resource goes from a to b.
func (t *target) change(m *model, bands []band, a, b int32, x float64) float64 {
	part := func(i int32, use float64) float64 { return square(bands[i].excess(use) / t.unit(&m.nodes[i])) }
	ua, ub := m.nodes[a].use[t.Resource], m.nodes[b].use[t.Resource]
	return part(a, ua-x) - part(a, ua) + part(b, ub+x) - part(b, ub)
}

const (
	// minGain is the least improvement of the sum of a goal that a move must bring. Every sum is below some number, so there are finitely many moves.
	minGain = 1e-6
	// tolerance is what a goal may lose to the rounding of sums.
	tolerance = 1e-12
	// lowerWeight is how much of what a move gains is set against what it costs goals of a lower priority. It chooses between moves; it forbids none.
	lowerWeight = 0.5
	// maxCandidates bounds the partitions of one broker that are tried, those with the largest load.
	maxCandidates = 4096
	// maxSwaps bounds the partitions of each of two brokers that are tried against each other.
	maxSwaps = 48
)

// score judges moving x from a to b for goal number g: <= 0: no.
func score(m *model, targets []target, g int, a, b int32, x *Load) float64 {
	t := &targets[g]
	gain := -t.change(m, t.inner, a, b, x[t.Resource])
	if gain < minGain {
		return 0
	}
	// What made the goal act has to get better by it, not only what it aims at: see the package comment on why plans come to an end.
	need := tolerance
	if t.guard[a].excess(m.nodes[a].use[t.Resource]) > 0 || t.guard[b].excess(m.nodes[b].use[t.Resource]) < 0 {
		need = -minGain
	}
	if t.change(m, t.guard, a, b, x[t.Resource]) > need {
		return 0
	}
	for h := range g {
		if h := &targets[h]; h.change(m, h.guard, a, b, x[h.Resource]) > tolerance {
			return 0
		}
	}
	cost := 0.0
	for h := g + 1; h < len(targets); h++ {
		h := &targets[h]
		cost += max(0, h.change(m, h.inner, a, b, x[h.Resource]))
	}
	return max(gain-lowerWeight*cost, gain*1e-3)
}

// reach moves partitions until every broker that was outside of goal g's outer band is inside of the inner one, or nothing helps. It returns the load of
// the resource that it moved.
func (m *model) reach(targets []target, g int, brokers []int32, limit int) float64 {
	t := &targets[g]
	c := candidates{m: m, r: t.Resource, of: make(map[int32][]int32), swaps: make(map[int32][]int32)}
	var out []int32
	for _, i := range brokers {
		if t.outer[i].excess(m.nodes[i].use[t.Resource]) != 0 {
			out = append(out, i)
		}
	}
	moved := 0.0
	stuck := make(map[int32]bool) // since the last move
	for m.planned() < limit {
		a, over := m.worst(t, out, stuck)
		if a < 0 {
			break
		}
		x, ok := m.relieve(targets, g, a, over, brokers, &c)
		if !ok {
			stuck[a] = true
			continue
		}
		moved += x
		clear(stuck)
	}
	return moved
}

// worst is the one of some brokers that is furthest outside of its inner band, -1 if there is none.
func (m *model) worst(t *target, brokers []int32, stuck map[int32]bool) (worst int32, over bool) {
	worst, far := -1, 0.0
	for _, i := range brokers {
		n := &m.nodes[i]
		e := t.inner[i].excess(n.use[t.Resource]) / t.unit(n)
		// A shortage is met by what the most loaded can spare; an excess comes first when they are equal.
		if d := math.Abs(e); d > far*(1+1e-9) && d > 1e-9 && !stuck[i] {
			worst, far, over = i, d, e > 0
		}
	}
	return worst, over
}

// relieve makes the best move, or else the best exchange, between broker a and the first of the others, from the far end on, with which one helps.
func (m *model) relieve(targets []target, g int, a int32, over bool, brokers []int32, c *candidates) (moved float64, ok bool) {
	r := targets[g].Resource
	others := slices.DeleteFunc(slices.Clone(brokers), func(i int32) bool { return i == a })
	slices.SortStableFunc(others, func(x, y int32) int {
		d := cmp.Compare(m.nodes[x].value(r), m.nodes[y].value(r))
		if !over {
			d = -d
		}
		return d
	})
	pair := func(b int32) (from, to int32) {
		if over {
			return a, b
		}
		return b, a
	}
	for _, b := range others {
		from, to := pair(b)
		best, p := 0.0, int32(-1)
		for _, i := range c.list(from) {
			s := score(m, targets, g, from, to, &m.parts[i].Load)
			if s > best || s == best && p >= 0 && i < p {
				best, p = s, i
			}
		}
		if p >= 0 {
			c.moved(p, from, to)
			m.move(p, to, targets[g].Name)
			return m.parts[p].Load[r], true
		}
	}
	if r == PartitionCount {
		return 0, false // an exchange does not change it
	}
	for _, b := range others {
		from, to := pair(b)
		best, p, q := 0.0, int32(-1), int32(-1)
		for _, i := range c.some(from) {
			for _, j := range c.some(to) {
				net := m.parts[i].Load
				net.sub(&m.parts[j].Load)
				if net[r] <= 0 {
					continue
				}
				if s := score(m, targets, g, from, to, &net); s > best {
					best, p, q = s, i, j
				}
			}
		}
		if p >= 0 {
			c.moved(p, from, to)
			c.moved(q, to, from)
			m.move(p, to, targets[g].Name)
			m.move(q, from, targets[g].Name)
			return m.parts[p].Load[r] - m.parts[q].Load[r], true
		}
	}
	return 0, false
}

// candidates lists, by broker, the partitions that may be moved for a resource.
type candidates struct {
	m  *model
	r  Resource
	of map[int32][]int32
	// swaps are those for exchanges; made anew after a move.
	swaps map[int32][]int32
}

// list returns the candidates of a broker, in an order that depends on the cluster alone.
func (c *candidates) list(broker int32) []int32 {
	if l, ok := c.of[broker]; ok {
		return l
	}
	var l []int32
	for _, p := range c.m.nodes[broker].parts {
		if !c.m.fixed[p] && c.m.parts[p].Load[c.r] > 0 {
			l = append(l, p)
		}
	}
	slices.SortFunc(l, func(x, y int32) int {
		return cmp.Or(cmp.Compare(c.m.parts[y].Load[c.r], c.m.parts[x].Load[c.r]), cmp.Compare(x, y))
	})
	if c.r == PartitionCount { // all are equal: those that carry least go first
		slices.SortStableFunc(l, func(x, y int32) int {
			return cmp.Compare(c.m.parts[x].Load[NetworkIn]+c.m.parts[x].Load[NetworkOut], c.m.parts[y].Load[NetworkIn]+c.m.parts[y].Load[NetworkOut])
		})
	}
	l = l[:min(len(l), maxCandidates)]
	c.of[broker] = l
	return l
}

// some are at most maxSwaps of a broker's partitions for an exchange: candidates of all sizes, and some that have nothing of the resource, to be given in
// return.
func (c *candidates) some(broker int32) []int32 {
	if l, ok := c.swaps[broker]; ok {
		return l
	}
	var without []int32
	for _, p := range c.m.nodes[broker].parts {
		if !c.m.fixed[p] && c.m.parts[p].Load[c.r] == 0 {
			without = append(without, p)
		}
	}
	slices.SortFunc(without, func(x, y int32) int {
		a, b := &c.m.parts[x].Load, &c.m.parts[y].Load
		return cmp.Or(cmp.Compare(b[NetworkIn], a[NetworkIn]), cmp.Compare(b[NetworkOut], a[NetworkOut]), cmp.Compare(x, y))
	})
	l := append(spread(c.list(broker), maxSwaps*2/3), spread(without, maxSwaps/3)...)
	c.swaps[broker] = l
	return l
}

// spread takes at most n items from all over a list.
func spread(l []int32, n int) []int32 {
	if len(l) <= n {
		return slices.Clone(l)
	}
	out := make([]int32, n)
	for i := range out {
		out[i] = l[i*(len(l)-1)/(n-1)]
	}
	return out
}

func (c *candidates) moved(p, from, to int32) {
	l := c.list(from)
	if at := slices.Index(l, p); at >= 0 {
		c.of[from] = slices.Delete(l, at, at+1)
	}
	if l := c.list(to); c.m.parts[p].Load[c.r] > 0 {
		c.of[to] = append(l, p)
	}
	delete(c.swaps, from)
	delete(c.swaps, to)
}

// evacuate moves partitions of a broker to those that take part: all of them, or with loadedOnly those that anybody uses. It returns how many have to stay
// because of the limit or because there is nowhere to go.
func (m *model) evacuate(a int32, why string, goals []Goal, brokers []int32, limit int, loadedOnly bool) (left int) {
	var list []int32
	for _, p := range m.nodes[a].parts {
		x := &m.parts[p]
		if x.Busy || loadedOnly && (m.fixed[p] || x.Load[NetworkIn]+x.Load[NetworkOut]+x.Load[QueryRate] == 0) {
			continue
		}
		list = append(list, p)
	}
	resources := []Resource{NetworkIn, NetworkOut, PartitionCount}
	for _, g := range goals {
		if !slices.Contains(resources, g.Resource) {
			resources = append(resources, g.Resource)
		}
	}
	slices.Sort(resources)
	// What the brokers carry after all, shared equally, is the unit in which resources are comparable.
	var unit Load
	for _, r := range resources {
		total, weight := 0.0, 0.0
		for _, i := range brokers {
			total += m.nodes[i].use[r]
			weight += m.nodes[i].weight(r)
		}
		for _, p := range list {
			total += m.parts[p].Load[r]
		}
		unit[r] = max(total/max(weight, 1e-9), 1e-9)
	}
	size := func(x *Load) (s float64) {
		for _, r := range resources {
			s += x[r] / unit[r]
		}
		return s
	}
	slices.SortFunc(list, func(x, y int32) int {
		return cmp.Or(cmp.Compare(size(&m.parts[y].Load), size(&m.parts[x].Load)), cmp.Compare(x, y))
	})
	for k, p := range list {
		if m.planned() >= limit || len(brokers) == 0 {
			return len(list) - k
		}
		x := &m.parts[p].Load
		best, to := math.Inf(1), int32(-1)
		for _, i := range brokers {
			n := &m.nodes[i]
			s := 0.0
			for _, r := range resources {
				w := n.weight(r)
				s += square((n.use[r]+x[r])/w/unit[r]) - square(n.use[r]/w/unit[r])
			}
			if s < best {
				best, to = s, i
			}
		}
		m.move(p, to, why)
	}
	return 0
}

// format writes an amount for people.
func (r Resource) format(v float64) string {
	switch r {
	case NetworkIn, NetworkOut:
		return fmt.Sprintf("%.2f MiB/s", v/(1<<20))
	case WALFill:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	case CPU:
		return fmt.Sprintf("%.2f cores", v)
	case QueryRate:
		return fmt.Sprintf("%.0f/s", v)
	}
	return fmt.Sprintf("%.0f", v)
}
