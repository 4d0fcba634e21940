package config

import (
	"strings"

	"github.com/ringmq/ringmq/kraft/balancer"
)

// balancerDefs are the keys of the partition balancer: AutoMQ's, and those of goals that AutoMQ does not have. All that are used may be changed at run time.
func balancerDefs() []Def {
	var goals []string
	for _, g := range balancer.Defaults().Goals {
		goals = append(goals, g.Name)
	}
	used := func(name string, t Type, value string, c *check, doc string) Def {
		return Def{Name: "autobalancer." + name, Type: t, Default: value, check: c, Use: Used, Scope: ClusterWide, Extra: true, Doc: doc}
	}
	none := func(name string, t Type, value string, c *check) Def {
		return Def{Name: "autobalancer." + name, Type: t, Default: value, check: c, Extra: true}
	}
	const (
		below = "A broker below this amount is never overloaded, nor, while the average is below it, underloaded."
		away  = "How far from the average, as a share, a broker may be."
		worth = "What would move less than this share of the average is not moved."
		limit = "The share of what a broker has that it may use."
	)
	return []Def{
		used("controller.enable", Boolean, "true", nil, "Moves partitions by load; false: only off draining brokers."),
		used("controller.metrics.delay.ms", Long, "60000", atLeast(1), "Age of a broker's last report from which on it is left out."),
		used("controller.goals", List, strings.Join(goals, ","), goalsCheck(), "Goals in the order of priority; the seed system's class names are taken, too."),
		used("controller.anomaly.detect.interval.ms", Long, "10000", atLeast(1), "Time between two looks at the loads; brokers that come, go or drain cause one at once."),
		used("controller.network.in.usage.distribution.detect.threshold", Long, "1048576", atLeast(0), "Bytes a second. "+below),
		used("controller.network.out.usage.distribution.detect.threshold", Long, "1048576", atLeast(0), "Bytes a second. "+below),
		used("controller.network.in.distribution.detect.avg.deviation", Double, "0.1", fraction(0, 1), away),
		used("controller.network.out.distribution.detect.avg.deviation", Double, "0.1", fraction(0, 1), away),
		used("controller.network.in.trivial.change.ratio", Double, "0.05", fraction(0, 1), worth),
		used("controller.network.out.trivial.change.ratio", Double, "0.05", fraction(0, 1), worth),
		used("controller.query.rate.distribution.detect.threshold", Double, "200", fraction(0, 1e12), "Batches and answered fetches a second. "+below),
		used("controller.query.rate.distribution.detect.avg.deviation", Double, "0.25", fraction(0, 1), away),
		used("controller.cpu.usage.distribution.detect.threshold", Double, "0.25", fraction(0, 1), "Share of the host's processors. "+below),
		used("controller.cpu.usage.distribution.detect.avg.deviation", Double, "0.25", fraction(0, 1), away),
		used("controller.partition.count.distribution.detect.threshold", Double, "10", fraction(0, 1e9), "Partitions. "+below),
		used("controller.partition.count.distribution.detect.avg.deviation", Double, "0.1", fraction(0, 1), away),
		used("controller.wal.fill.capacity.threshold", Double, "0.8", fraction(0, 1), limit),
		used("controller.cpu.capacity.threshold", Double, "0.9", fraction(0, 1), limit),
		used("controller.network.in.capacity.threshold", Double, "0.8", fraction(0, 1), limit+" Of s3.network.baseline.bandwidth."),
		used("controller.network.out.capacity.threshold", Double, "0.8", fraction(0, 1), limit+" Of s3.network.baseline.bandwidth."),
		used("controller.slow.broker.append.latency.ms", Long, "50", atLeast(1), "Median time of an append from which on a broker may be slow."),
		used("controller.slow.broker.factor", Double, "4", fraction(1, 1e6), "How many times the median of the other brokers that has to be."),
		used("controller.slow.broker.pending.append.ms", Long, "10000", atLeast(1), "An append that waits so long makes its broker slow at once."),
		used("controller.slow.broker.rounds", Int, "3", atLeast(1), "Looks in a row at which a broker has to be slow."),
		used("controller.slow.broker.hold.rounds", Int, "30", between(1, 1_000_000), "Looks without such an append before it is trusted again; doubles with each relapse."),
		used("controller.execution.concurrency", Int, "50", atLeast(1), "Moves that are under way from or to one broker."),
		used("controller.execution.interval.ms", Long, "1000", atLeast(1), "Least time between two waves of moves; a wave also waits for the end of the one before."),
		used("controller.plan.max.moves", Int, "1000", between(1, 1_000_000), "Most moves in one plan."),
		used("controller.exclude.broker.ids", List, "", brokerIDsCheck(), "Brokers that neither give nor take."),
		used("controller.exclude.topics", List, "", nil, "Topics whose partitions stay, unless their broker drains."),
		used("reporter.metrics.reporting.interval.ms", Long, "5000", atLeast(100), "Time between two reports of a broker's load to the controller."),

		// Loads are reported by a request to the controller, not through a topic: nothing corresponds to these.
		none("controller.topic.num.partitions", Int, "1", atLeast(1)),
		none("controller.topic.retention.ms", Long, "1800000", atLeast(1)),
		none("controller.consumer.poll.timeout", Long, "1000", atLeast(0)),
		none("controller.consumer.client.id", String, "auto_balancer_controller_consumer_", nil),
		none("controller.retry.backoff.ms", Long, "1000", atLeast(0)),
		none("controller.consumer.retry.backoff.ms", Long, "1000", atLeast(0)),
		none("controller.execution.steps", Int, "60", atLeast(1)),
		none("reporter.producer.create.retries", Int, "2", atLeast(0)),
		none("reporter.linger.ms", Int, "1000", atLeast(0)),
		none("reporter.batch.size", Int, "800000", atLeast(0)),
		none("reporter.client.id", String, "CCMetricsReporter", nil),
	}
}

func goalsCheck() *check {
	return parsedBy("a comma separated list of "+strings.Join(balancer.GoalNames(), ", "), func(v string) string {
		seen := map[string]bool{}
		for _, name := range splitList(v) {
			g, err := balancer.ParseGoal(name)
			switch {
			case err != nil:
				return "unknown goal " + clip(name, 80)
			case seen[g.Name]:
				return g.Name + " appears twice"
			}
			seen[g.Name] = true
		}
		return ""
	})
}

func brokerIDsCheck() *check {
	return parsedBy("a comma separated list of node ids", func(v string) string {
		for _, id := range splitList(v) {
			if _, ok := brokerID(id); !ok {
				return "not a node id: " + clip(id, 50)
			}
		}
		return ""
	})
}
