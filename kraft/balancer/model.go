package balancer

import (
	"cmp"
	"math"
	"slices"
)

// Resource is something that partitions use of their broker.
type Resource uint8

// The resources. A Load has one value for each.
const (
	NetworkIn      Resource = iota // bytes a second that producers send
	NetworkOut                     // bytes a second that consumers are sent
	QueryRate                      // produced batches and answered fetches of partitions, a second
	CPU                            // processor cores in use
	WALFill                        // bytes of the write-ahead log that wait for an upload
	PartitionCount                 // partitions led

	numResources
)

// String is the name in reports.
func (r Resource) String() string {
	return [...]string{"network in", "network out", "query rate", "cpu", "wal fill", "partitions"}[r]
}

// Unit is what one of it is.
func (r Resource) Unit() string {
	return [...]string{"B/s", "B/s", "1/s", "cores", "B", ""}[r]
}

// Load is an amount of every resource.
type Load [numResources]float64

func (l *Load) add(x *Load) {
	for r := range l {
		l[r] += x[r]
	}
}

func (l *Load) sub(x *Load) {
	for r := range l {
		l[r] -= x[r]
	}
}

// Cluster is what a round looks at. Brokers and partitions may be in any order; the plan depends on neither.
type Cluster struct {
	Brokers    []Broker
	Partitions []Partition
}

// Broker is one registered broker.
type Broker struct {
	ID int32
	// Fenced: it serves nothing. Draining: everything has to leave it. Excluded: an operator wants it left alone. Stale: its figures are too old or too few
	// to act on; Why says what is wrong with them. None of these takes part in the balance, and nothing is moved to them.
	Fenced, Draining, Excluded, Stale bool
	Why                               string
	// Own is what none of its partitions accounts for: it stays with the broker.
	Own Load
	// Capacity is how much it has of a resource; 0 if nobody knows.
	Capacity Load
	// Append is how its write-ahead log does.
	Append Latency
}

// Latency is what a broker saw of its own appends since its last report.
type Latency struct {
	Appended      bool  // there were appends
	Samples       int   // appends that were watched: none is under way at most looks when they are quick
	MedianMicros  int64 // from the look at an append to its durability
	PendingMicros int64 // the longest wait, of those that are not durable yet too
}

// Partition is one partition.
type Partition struct {
	ID     int64 // unique, the partition's stream
	Topic  string
	Index  int32
	Leader int32
	Load   Load
	// Excluded: an operator wants its topic left alone. It leaves a draining broker nevertheless.
	Excluded bool
	// Busy: it is being moved.
	Busy bool
}

// Move is one step of a plan.
type Move struct {
	ID        int64  `json:"-"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int32  `json:"from"`
	To        int32  `json:"to"`
	Why       string `json:"why"` // the goal that asked for it first, or what is wrong with From
	Load      Load   `json:"-"`
}

// node is a broker while a plan is made.
type node struct {
	Broker
	slow  string // why it counts as slow, "" if it does not
	use   Load
	parts []int32 // indexes of its partitions, unordered
}

// takesPart says that the broker is compared with others, gives and takes.
func (n *node) takesPart() bool {
	return !n.Fenced && !n.Draining && !n.Excluded && !n.Stale && n.slow == ""
}

// model is a cluster in which partitions can be moved.
type model struct {
	nodes  []node
	at     map[int32]int32 // broker id -> index
	parts  []Partition     // sorted by ID; Leader is the broker at the beginning
	leader []int32         // index of the broker that has each partition now
	place  []int32         // where it is in that broker's list
	fixed  []bool          // not to be moved for a goal
	first  []string        // why a partition was moved first
	order  []int32         // partitions in the order in which they were first moved
}

func newModel(c Cluster, slow map[int32]string, settling func(id int64) bool) *model {
	m := &model{at: make(map[int32]int32, len(c.Brokers)), parts: slices.Clone(c.Partitions)}
	slices.SortFunc(m.parts, func(a, b Partition) int { return cmp.Compare(a.ID, b.ID) })
	for _, b := range c.Brokers {
		m.nodes = append(m.nodes, node{Broker: b, slow: slow[b.ID], use: b.Own})
	}
	slices.SortFunc(m.nodes, func(a, b node) int { return cmp.Compare(a.ID, b.ID) })
	for i := range m.nodes {
		m.at[m.nodes[i].ID] = int32(i)
	}
	m.parts = slices.DeleteFunc(m.parts, func(p Partition) bool { _, ok := m.at[p.Leader]; return !ok })
	n := len(m.parts)
	m.leader, m.place, m.fixed, m.first = make([]int32, n), make([]int32, n), make([]bool, n), make([]string, n)
	for i := range m.parts {
		p := &m.parts[i]
		p.Load[PartitionCount] = 1
		m.fixed[i] = p.Excluded || p.Busy || settling(p.ID)
		m.put(int32(i), m.at[p.Leader])
	}
	return m
}

func (m *model) put(p, broker int32) {
	n := &m.nodes[broker]
	m.leader[p], m.place[p] = broker, int32(len(n.parts))
	n.parts = append(n.parts, p)
	n.use.add(&m.parts[p].Load)
}

// shift takes a partition to another broker, without a note of it.
func (m *model) shift(p, to int32) {
	n := &m.nodes[m.leader[p]]
	last := n.parts[len(n.parts)-1]
	n.parts[m.place[p]] = last
	m.place[last] = m.place[p]
	n.parts = n.parts[:len(n.parts)-1]
	n.use.sub(&m.parts[p].Load)
	m.put(p, to)
}

// move is shift with a note.
func (m *model) move(p, to int32, why string) {
	if m.first[p] == "" {
		m.first[p] = why
		m.order = append(m.order, p)
	}
	m.shift(p, to)
}

// moves lists what has changed: chains of moves are one, and a partition that came back is none.
func (m *model) moves() []Move {
	out := []Move{} // JSON has a list, be it empty
	for _, i := range m.order {
		p := &m.parts[i]
		if to := m.nodes[m.leader[i]].ID; to != p.Leader {
			out = append(out, Move{ID: p.ID, Topic: p.Topic, Partition: p.Index, From: p.Leader, To: to, Why: m.first[i], Load: p.Load})
		}
	}
	return out
}

// planned is the number of moves so far, at most.
func (m *model) planned() int { return len(m.order) }

// taking lists the brokers that take part.
func (m *model) taking() []int32 {
	var out []int32
	for i := range m.nodes {
		if m.nodes[i].takesPart() {
			out = append(out, int32(i))
		}
	}
	return out
}

// weight is what a broker's use of a resource is divided by before brokers are compared: 1 for what is a flow, the capacity for what is a share of a
// machine (so that a host with twice the cores carries twice the load).
func (n *node) weight(r Resource) float64 {
	if (r == CPU || r == WALFill) && n.Capacity[r] > 0 {
		return n.Capacity[r]
	}
	return 1
}

// value is what brokers are compared by.
func (n *node) value(r Resource) float64 { return n.use[r] / n.weight(r) }

// average of the values of brokers, weighted. Moves between them do not change it.
func (m *model) average(r Resource, brokers []int32) float64 {
	use, weight := 0.0, 0.0
	for _, i := range brokers {
		use += m.nodes[i].use[r]
		weight += m.nodes[i].weight(r)
	}
	if weight == 0 {
		return 0
	}
	return use / weight
}

func square(x float64) float64 { return x * x }

// finite replaces what a broken report could bring.
func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
		return 0
	}
	return x
}
