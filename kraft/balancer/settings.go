package balancer

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Settings are the autobalancer.* keys, as far as decisions depend on them.
type Settings struct {
	// Enabled is autobalancer.controller.enable. Without it plans are made for those who ask, and not carried out; draining goes on.
	Enabled bool
	// Goals in the order of their priority.
	Goals []Goal
	// MaxMoves bounds the moves of one round.
	MaxMoves int
	// ExcludedBrokers are left alone; ExcludedTopics too, except that they leave a draining broker.
	ExcludedBrokers []int32
	ExcludedTopics  []string
	Slow            SlowSettings

	// DetectInterval is the time between two rounds, MetricsDelay the age from which a broker's figures do not count.
	DetectInterval, MetricsDelay time.Duration
	// Concurrency bounds the moves that are under way from or to one broker; ExecutionInterval is the time between two waves of moves; StepTimeout bounds
	// the wait for one wave.
	Concurrency                    int
	ExecutionInterval, StepTimeout time.Duration
}

// Goal is one thing that a plan tries to reach. See the package comment for the formulas.
type Goal struct {
	Name     string
	Resource Resource
	// Capacity goals keep a broker below Threshold (a share) of what it has. Distribution goals keep it within Deviation (a share) of the average;
	// a broker below Threshold (an amount) is never called overloaded, nor, while the average is below it, underloaded.
	Capacity  bool
	Threshold float64
	Deviation float64
	// Trivial: what moves less than this share of the average is not worth it.
	Trivial float64
}

// Known are the goals by the names that autobalancer.controller.goals may have, with their defaults, in the default order.
func Known() []Goal {
	const mib = 1 << 20
	return []Goal{
		{Name: "WALFillCapacityGoal", Resource: WALFill, Capacity: true, Threshold: 0.8},
		{Name: "CPUCapacityGoal", Resource: CPU, Capacity: true, Threshold: 0.9},
		{Name: "NetworkInCapacityGoal", Resource: NetworkIn, Capacity: true, Threshold: 0.8},
		{Name: "NetworkOutCapacityGoal", Resource: NetworkOut, Capacity: true, Threshold: 0.8},
		{Name: "NetworkInUsageDistributionGoal", Resource: NetworkIn, Threshold: mib, Deviation: 0.1, Trivial: 0.05},
		{Name: "NetworkOutUsageDistributionGoal", Resource: NetworkOut, Threshold: mib, Deviation: 0.1, Trivial: 0.05},
		{Name: "QueryRateDistributionGoal", Resource: QueryRate, Threshold: 200, Deviation: 0.25, Trivial: 0.05},
		{Name: "CPUUsageDistributionGoal", Resource: CPU, Threshold: 0.25, Deviation: 0.25, Trivial: 0.05},
		{Name: "PartitionCountDistributionGoal", Resource: PartitionCount, Threshold: 10, Deviation: 0.1, Trivial: 0.05},
	}
}

// goalPrefix is the package in which the seed system has its goals: its names are class names.
const goalPrefix = "kafka.autobalancer.goals."

// ParseGoal finds a goal by its name, with or without the seed system's package in front.
func ParseGoal(name string) (Goal, error) {
	short := strings.TrimPrefix(strings.TrimSpace(name), goalPrefix)
	known := Known()
	if i := slices.IndexFunc(known, func(g Goal) bool { return g.Name == short }); i >= 0 {
		return known[i], nil
	}
	return Goal{}, fmt.Errorf("balancer: %q is not a goal; known are %s", name, strings.Join(GoalNames(), ", "))
}

// GoalNames are the names of Known.
func GoalNames() []string {
	var names []string
	for _, g := range Known() {
		names = append(names, g.Name)
	}
	return names
}

// Defaults are the settings of a cluster that says nothing.
func Defaults() Settings {
	return Settings{
		Enabled: true, Goals: Known(), MaxMoves: 1000, Slow: SlowDefaults(),
		DetectInterval: 10 * time.Second, MetricsDelay: time.Minute, Concurrency: 50, ExecutionInterval: time.Second, StepTimeout: time.Minute,
	}
}
