package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/ringmq/ringmq/kraft/balancer"
)

// brokerID parses a node id.
func brokerID(s string) (int32, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return int32(n), err == nil && n >= 0
}

// Balancer are the balancer's settings; dynamic gives a key that was set at run time, and wins. Values were checked where they were set: one that does not parse (the
// node that took it was of another version) counts as not set.
func (c *Config) Balancer(dynamic func(key string) (string, bool)) balancer.Settings {
	text := func(name string) string {
		key := "autobalancer.controller." + name
		d, ok := BrokerDef(key)
		if !ok {
			panic("BUG: config: no key " + key)
		}
		if v, ok := dynamic(key); ok && d.Validate(v) == nil {
			return strings.TrimSpace(v)
		}
		return strings.TrimSpace(c.values[key].value)
	}
	number := func(name string) float64 {
		v, err := strconv.ParseFloat(text(name), 64)
		if err != nil {
			panic("BUG: config: autobalancer.controller." + name + " has no checked number")
		}
		return v
	}
	millis := func(name string) time.Duration { return time.Duration(min(number(name), 1e12)) * time.Millisecond }

	s := balancer.Defaults()
	s.Enabled = strings.EqualFold(text("enable"), "true")
	s.MetricsDelay, s.DetectInterval = millis("metrics.delay.ms"), millis("anomaly.detect.interval.ms")
	s.Concurrency, s.ExecutionInterval, s.MaxMoves = int(number("execution.concurrency")), millis("execution.interval.ms"), int(number("plan.max.moves"))
	s.ExcludedTopics = splitList(text("exclude.topics"))
	for _, item := range splitList(text("exclude.broker.ids")) {
		if id, ok := brokerID(item); ok {
			s.ExcludedBrokers = append(s.ExcludedBrokers, id)
		}
	}
	s.Slow.Latency, s.Slow.Stuck = millis("slow.broker.append.latency.ms"), millis("slow.broker.pending.append.ms")
	s.Slow.Factor, s.Slow.Rounds, s.Slow.Hold = number("slow.broker.factor"), int(number("slow.broker.rounds")), int(number("slow.broker.hold.rounds"))

	// By resource: the part of the key's name, and whether the seed system has it (its names are not regular).
	spread := map[balancer.Resource]string{balancer.NetworkIn: "network.in", balancer.NetworkOut: "network.out", balancer.QueryRate: "query.rate",
		balancer.CPU: "cpu.usage", balancer.PartitionCount: "partition.count"}
	bound := map[balancer.Resource]string{balancer.WALFill: "wal.fill", balancer.CPU: "cpu", balancer.NetworkIn: "network.in", balancer.NetworkOut: "network.out"}
	s.Goals = nil
	for _, name := range splitList(text("goals")) {
		g, err := balancer.ParseGoal(name)
		if err != nil {
			continue
		}
		if g.Capacity {
			g.Threshold = number(bound[g.Resource] + ".capacity.threshold")
			s.Goals = append(s.Goals, g)
			continue
		}
		part := spread[g.Resource]
		g.Deviation = number(part + ".distribution.detect.avg.deviation")
		if g.Resource == balancer.NetworkIn || g.Resource == balancer.NetworkOut {
			g.Threshold, g.Trivial = number(part+".usage.distribution.detect.threshold"), number(part+".trivial.change.ratio")
		} else {
			g.Threshold = number(part + ".distribution.detect.threshold")
		}
		s.Goals = append(s.Goals, g)
	}
	return s
}

// LoadReportInterval is the time between two reports of this broker's load.
func (c *Config) LoadReportInterval(dynamic func(key string) (string, bool)) time.Duration {
	return millisOf(c.present("autobalancer.reporter.metrics.reporting.interval.ms", dynamic))
}

// present is what a broker key is worth now: what was set at run time, if that is valid, else what the configuration says.
func (c *Config) present(key string, dynamic func(key string) (string, bool)) string {
	d, _ := BrokerDef(key)
	v, ok := dynamic(key)
	if !ok || d.Validate(v) != nil {
		v = c.values[key].value
	}
	return strings.TrimSpace(v)
}

// millisOf is a checked number of milliseconds.
func millisOf(v string) time.Duration { return time.Duration(min(intOf(v), 1<<40)) * time.Millisecond }

func intOf(v string) int64 {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic("BUG: config: " + v + " is no checked number")
	}
	return n
}
