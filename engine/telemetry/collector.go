package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringmq/ringmq/engine/clientmetrics"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/netpoll"
	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/wal"
)

// Sources are asked once at each scrape, from any goroutine, also while the node shuts down. A part that the node does not have is nil.
type Sources struct {
	WAL func() wal.Stats
	// WALLatencies are those of the same log.
	WALLatencies func() wal.Latencies
	Storage      func() s3stream.Stats
	Network      func() netpoll.Stats
	Broker       func() Broker
	Node         func() Node
	// Clients are the metrics that clients pushed.
	Clients func(func(clientmetrics.Sample)) clientmetrics.Stats
	// Balancer is that of the node's controller.
	Balancer func() kraft.BalancerStats
}

// Broker is a snapshot of the broker's own counters.
type Broker struct {
	Requests                      []Requests // every served API, always in the same order
	Rejected                      int64      // requests that closed their connection
	WALFull                       int64      // times that a produce had to wait for room in the log
	ProducedBatches               int64
	ProducedBytes, FetchedBytes   int64
	OpenPartitions, ParkedClients int
	AcksHeld                      bool  // acknowledgements are held back now
	AckHolds                      int64 // times that this began
	Cleaner                       Cleaner
	Quotas                        []Quota
	Shares                        Shares
}

// Quota is what clients do that a quota limits, and those who share it: all of a user's clients when ClientID is empty, all users when User is.
type Quota struct {
	Kind           string // Kafka's: Produce, Fetch, Request, ControllerMutation
	User, ClientID string
	Limit          float64
	Value          float64 // bytes a second, percent of a processor, or tokens that are left
	ThrottleMillis float64 // average of the last minute
}

// Requests counts the requests of one API.
type Requests struct {
	API   string
	Count int64
}

// Node says which node this is, and what its image of the cluster holds.
type Node struct {
	Cluster, Roles     string
	ID                 int32
	Topics, Partitions int
	Offline            []Offline
	Failed             []Failed
	Quotas             []Quota // that the active controller enforces
}

// Offline counts the partitions that nobody serves for one reason because of one broker.
type Offline struct {
	Broker     int32
	Reason     string
	Partitions int
}

// Failed is a broker that has ended itself, with what it told the controllers.
type Failed struct {
	Broker int32
	Cause  string
}

// collector turns snapshots into metrics.
type collector struct{ from Sources }

// Describe names every metric, so that a name or label used twice is found at the start and not at a scrape.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect takes the snapshots.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	out := sink{ch}
	if c.from.Node != nil {
		out.node(c.from.Node())
	}
	if c.from.Balancer != nil {
		out.balancer(c.from.Balancer())
	}
	if c.from.WAL != nil {
		out.wal(c.from.WAL())
	}
	if c.from.WALLatencies != nil {
		out.walLatencies(c.from.WALLatencies())
	}
	if c.from.Storage != nil {
		out.storage(c.from.Storage())
	}
	if c.from.Network != nil {
		out.network(c.from.Network())
	}
	if c.from.Broker != nil {
		out.broker(c.from.Broker())
	}
	if c.from.Clients != nil {
		out.clients(c.from.Clients)
	}
}

// sink makes metrics. Every scrape has to make the same ones: see collector.Describe.
type sink struct{ ch chan<- prometheus.Metric }

type number interface {
	~int | ~int32 | ~int64 | ~uint64
}

func gauge[N number](s sink, name, help string, v N, labels ...string) {
	s.put(prometheus.GaugeValue, name, help, float64(v), labels)
}

func counter[N number](s sink, name, help string, v N, labels ...string) {
	s.put(prometheus.CounterValue, name, help, float64(v), labels)
}

// put takes labels as name, value, name, value.
func (s sink) put(kind prometheus.ValueType, name, help string, v float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	s.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Shares is what share groups do on a node.
type Shares struct {
	Groups, Sessions, Partitions, Locked, States int
	Acquired, Expired                            int64    // records
	Acknowledged                                 [5]int64 // records, by type
}
