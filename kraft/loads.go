package kraft

import (
	"fmt"
	"time"

	"github.com/ringmq/ringmq/kraft/balancer"
)

// loads is what brokers have told the active controller about their load since it became active. It is soft state: a new controller begins with nothing,
// and trusts a broker when it has heard of it. The clock decides only which figures are too old to act on.
//
// Memory: an entry of about 60 bytes for each partition that has load, and none for others.
type loads struct {
	brokers map[int32]*brokerLoad
	reports int64 // taken so far
}

// brokerLoad is what one broker told.
type brokerLoad struct {
	epoch   int64 // of the registration that told it
	reports int
	last    time.Time // by the controller's clock
	host    HostLoad
	cpu     float64 // cores, smoothed
	wal     float64 // bytes, smoothed
	own     float64 // cores that no partition accounts for
	walOwn  float64 // bytes that no partition accounts for
	appends bool    // its partitions got something
	parts   map[StreamID]*partLoad
}

// partLoad is what one partition does, smoothed, a second. The float32 are exact enough: seven digits.
type partLoad struct {
	in, out, requests float32
	cpu, wal          float32 // its share of the broker's
	seen              uint16  // low bits of the report that had it last
	young             bool    // it was in one report only
	carried           uint8   // reports of its present leader that do not cover a whole interval yet; until then what the former leader told counts
}

const (
	// carriedReports is for how many reports of the new leader a moved partition keeps the figures of the old one: the first does not cover its whole
	// interval, and the second has clients that were still on their way.
	carriedReports = 2
	// smoothing is the weight of a report beside those before it.
	smoothing = 0.5
	// trustedReports is how many reports make a broker's figures worth acting on; one is enough of a broker without partitions.
	trustedReports = 2
)

func newLoads() *loads { return &loads{brokers: make(map[int32]*brokerLoad)} }

// take enters a report. It refuses one of a broker that is not registered at that epoch.
func (l *loads) take(img *Image, r *ReportLoadRequest, now time.Time) error {
	kb := img.Broker(r.Node)
	switch {
	case kb == nil:
		return refuse(CodeFenced, "broker %d is not registered", r.Node)
	case kb.Epoch != r.NodeEpoch:
		return refuse(CodeFenced, "broker %d is at epoch %d, the report is of epoch %d", r.Node, kb.Epoch, r.NodeEpoch)
	}
	b := l.brokers[r.Node]
	if b == nil {
		b = &brokerLoad{parts: make(map[StreamID]*partLoad)}
		l.brokers[r.Node] = b
	}
	if b.epoch != r.NodeEpoch { // another life of the broker: what its partitions do is still the best guess
		b.epoch, b.reports = r.NodeEpoch, 0
	}
	b.reports++
	l.reports++
	b.last, b.host = now, r.Host
	seen := uint16(b.reports)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		if leader, ok := leaderOf(img, p.Stream); !ok || leader != r.Node {
			continue // not its partition any more
		}
		b.enter(p, seen)
	}
	l.age(img, r.Node, seen)
	b.attribute()
	return nil
}

// enter adds what a report says of one partition.
func (b *brokerLoad) enter(p *PartitionLoad, seen uint16) {
	e, known := b.parts[p.Stream]
	if !known {
		e = &partLoad{}
		b.parts[p.Stream] = e
	}
	e.seen = seen
	switch {
	case e.carried > 0:
		e.carried--
	case !known:
		e.in, e.out, e.requests, e.young = float32(p.BytesIn), float32(p.BytesOut), float32(p.MilliRequests)/1000, true
	default:
		mix := func(old *float32, v float32) { *old += smoothing * (v - *old) }
		mix(&e.in, float32(p.BytesIn))
		mix(&e.out, float32(p.BytesOut))
		mix(&e.requests, float32(p.MilliRequests)/1000)
		e.young = false
	}
}

// age lowers the load of a broker's partitions that its newest report does not name, forgets those without any, and lets those that have another leader by
// now follow it.
func (l *loads) age(img *Image, broker int32, seen uint16) {
	b := l.brokers[broker]
	for id, e := range b.parts {
		if e.seen == seen {
			continue
		}
		if leader, ok := leaderOf(img, id); !ok || leader != broker {
			delete(b.parts, id)
			if ok {
				l.moved(id, e, leader)
			}
			continue
		}
		if e.carried > 0 {
			e.carried--
		} else {
			e.in, e.out, e.requests, e.young = e.in*(1-smoothing), e.out*(1-smoothing), e.requests*(1-smoothing), false
		}
		if e.in < 1 && e.out < 1 && e.requests < 0.01 {
			delete(b.parts, id)
		}
	}
}

// attribute shares what the broker uses of its host among its partitions: the processor half by requests and half by bytes, the write-ahead log by
// bytes in. What partitions brought along from another broker is not in the figures of this one yet.
func (b *brokerLoad) attribute() {
	mix := func(old *float64, v float64) {
		if b.reports == 1 {
			*old = v
		}
		*old += smoothing * (v - *old)
	}
	mix(&b.cpu, float64(max(b.host.CPUMillis, 0))/1000)
	mix(&b.wal, float64(max(b.host.WALUsed, 0)))
	var in, both, requests float64
	for _, e := range b.parts {
		if e.carried == 0 {
			in, both, requests = in+float64(e.in), both+float64(e.in)+float64(e.out), requests+float64(e.requests)
		}
	}
	b.appends = in > 0
	share := func(v float32, of float64) float64 {
		if of <= 0 {
			return 0
		}
		return float64(v) / of
	}
	b.own, b.walOwn = b.cpu, b.wal
	for _, e := range b.parts {
		if e.carried > 0 {
			continue
		}
		e.cpu = float32(b.cpu * (share(e.requests, requests) + share(e.in+e.out, both)) / 2)
		e.wal = float32(b.wal * share(e.in, in))
		b.own -= float64(e.cpu)
		b.walOwn -= float64(e.wal)
	}
	b.own, b.walOwn = max(b.own, 0), max(b.walOwn, 0)
}

// moved gives a partition's figures to its new leader.
func (l *loads) moved(id StreamID, e *partLoad, to int32) {
	b := l.brokers[to]
	if b == nil {
		return // it has not told anything: it is not trusted either
	}
	if there, ok := b.parts[id]; ok && !there.young && there.carried == 0 {
		return // its new leader knows better
	}
	e.carried, e.young, e.seen = carriedReports, false, uint16(b.reports)
	b.parts[id] = e
}

// follow takes the figures of all partitions to the brokers that lead them in the image, and forgets brokers and partitions that are not in it.
func (l *loads) follow(img *Image) {
	for broker, b := range l.brokers {
		if img.Broker(broker) == nil {
			delete(l.brokers, broker)
			continue
		}
		for id, e := range b.parts {
			leader, ok := leaderOf(img, id)
			if ok && leader == broker {
				continue
			}
			delete(b.parts, id)
			if ok {
				l.moved(id, e, leader)
			}
		}
	}
}

// leaderOf is the broker that leads the partition of a stream.
func leaderOf(img *Image, id StreamID) (int32, bool) {
	s, ok := img.Stream(id)
	if !ok {
		return -1, false
	}
	t := img.TopicByID(s.Topic)
	if t == nil || int(s.Partition) >= len(t.Partitions) {
		return -1, false
	}
	return t.Partitions[s.Partition].Leader, true
}

// doubt says why a broker's figures are not to be acted on, "" if they are.
func (l *loads) doubt(kb *Broker, leads int, now time.Time, delay time.Duration) string {
	b := l.brokers[kb.ID]
	switch {
	case b == nil || b.epoch != kb.Epoch:
		return "it has not reported its load yet"
	case now.Sub(b.last) > delay:
		return fmt.Sprintf("its last report is older than %v", delay)
	case b.reports < trustedReports && (leads > 0 || len(b.parts) > 0):
		return fmt.Sprintf("it has reported its load %d time(s), %d are needed", b.reports, trustedReports)
	}
	return ""
}

// cluster is what the balancer looks at. REQUIRES: follow was called with the image.
func (l *loads) cluster(img *Image, now time.Time, s balancer.Settings) balancer.Cluster {
	var c balancer.Cluster
	excludedBrokers, excludedTopics := setOf(s.ExcludedBrokers), setOf(s.ExcludedTopics)
	img.Brokers(func(kb *Broker) bool {
		x := balancer.Broker{ID: kb.ID, Fenced: kb.Fenced, Draining: kb.Draining, Excluded: excludedBrokers[kb.ID]}
		x.Why = l.doubt(kb, img.PartitionsLed(kb.ID), now, s.MetricsDelay)
		x.Stale = x.Why != ""
		if b := l.brokers[kb.ID]; b != nil {
			x.Own[balancer.CPU], x.Own[balancer.WALFill] = b.own, b.walOwn
			h := &b.host
			x.Capacity[balancer.CPU], x.Capacity[balancer.WALFill] = float64(h.CPUCapacityMillis)/1000, float64(h.WALCapacity)
			x.Capacity[balancer.NetworkIn], x.Capacity[balancer.NetworkOut] = float64(h.NetworkCapacity), float64(h.NetworkCapacity)
			x.Append = balancer.Latency{Appended: b.appends, Samples: int(h.AppendSamples), MedianMicros: h.AppendMedianMicros, PendingMicros: h.AppendPendingMicros}
		}
		c.Brokers = append(c.Brokers, x)
		return true
	})
	c.Partitions = make([]balancer.Partition, 0, img.NumPartitions())
	img.Topics(func(t *Topic) bool {
		excluded := excludedTopics[t.Name]
		for i := range t.Partitions {
			p := &t.Partitions[i]
			_, _, busy := moving(img, p)
			x := balancer.Partition{ID: int64(p.StreamID), Topic: t.Name, Index: int32(i), Leader: p.Leader, Excluded: excluded, Busy: busy}
			if b := l.brokers[p.Leader]; b != nil {
				if e := b.parts[p.StreamID]; e != nil {
					x.Load = balancer.Load{balancer.NetworkIn: float64(e.in), balancer.NetworkOut: float64(e.out), balancer.QueryRate: float64(e.requests),
						balancer.CPU: float64(e.cpu), balancer.WALFill: float64(e.wal)}
				}
			}
			c.Partitions = append(c.Partitions, x)
		}
		return true
	})
	return c
}

func setOf[T comparable](list []T) map[T]bool {
	m := make(map[T]bool, len(list))
	for _, v := range list {
		m[v] = true
	}
	return m
}
