package config

import (
	"errors"
	"testing"
	"time"

	"github.com/ringmq/ringmq/kraft/balancer"
)

// TestBalancer: keys become settings, what is set at run time wins, and what was never set is as the balancer's own defaults.
func TestBalancer(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	c, _, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	got, want := c.Balancer(none), balancer.Defaults()
	if len(got.Goals) != len(want.Goals) || got.Enabled != want.Enabled || got.MaxMoves != want.MaxMoves || got.Slow != want.Slow || got.DetectInterval != want.DetectInterval ||
		got.MetricsDelay != want.MetricsDelay || got.Concurrency != want.Concurrency || got.ExecutionInterval != want.ExecutionInterval || got.StepTimeout != want.StepTimeout {
		t.Errorf("keys say  %+v\nbalancer says %+v", got, want)
	}
	for i, g := range got.Goals {
		if g != want.Goals[i] {
			t.Errorf("keys say %+v, balancer says %+v", g, want.Goals[i])
		}
	}
	c, _, err = Load(Source{Overrides: []string{
		"autobalancer.controller.goals=kafka.autobalancer.goals.NetworkOutUsageDistributionGoal, CPUCapacityGoal", "autobalancer.controller.enable=false",
		"autobalancer.controller.network.out.usage.distribution.detect.threshold=7", "autobalancer.controller.network.out.distribution.detect.avg.deviation=0.3",
		"autobalancer.controller.network.out.trivial.change.ratio=0.2", "autobalancer.controller.cpu.capacity.threshold=0.5", "autobalancer.controller.exclude.broker.ids=3, 4",
		"autobalancer.controller.exclude.topics=a,b", "autobalancer.controller.slow.broker.factor=9", "autobalancer.reporter.metrics.reporting.interval.ms=700",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Balancer(func(key string) (string, bool) {
		v, ok := map[string]string{"autobalancer.controller.enable": "TRUE", "autobalancer.controller.plan.max.moves": "5", "autobalancer.controller.metrics.delay.ms": "nonsense"}[key]
		return v, ok
	})
	out := balancer.Goal{Name: "NetworkOutUsageDistributionGoal", Resource: balancer.NetworkOut, Threshold: 7, Deviation: 0.3, Trivial: 0.2}
	cpu := balancer.Goal{Name: "CPUCapacityGoal", Resource: balancer.CPU, Capacity: true, Threshold: 0.5}
	if len(s.Goals) != 2 || s.Goals[0] != out || s.Goals[1] != cpu || !s.Enabled || s.MaxMoves != 5 || s.MetricsDelay != time.Minute || s.Slow.Factor != 9 ||
		len(s.ExcludedBrokers) != 2 || s.ExcludedBrokers[1] != 4 || len(s.ExcludedTopics) != 2 || c.LoadReportInterval(none) != 700*time.Millisecond {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"controller.goals=NetworkInUsageDistributionGoal,Other", "controller.goals=CPUCapacityGoal,kafka.autobalancer.goals.CPUCapacityGoal",
		"controller.exclude.broker.ids=1,x", "controller.exclude.broker.ids=-1", "controller.cpu.capacity.threshold=1.5", "controller.cpu.capacity.threshold=NaN",
		"reporter.metrics.reporting.interval.ms=5"} {
		if _, _, err := Load(Source{Overrides: []string{"autobalancer." + bad}}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := ValidateBroker("autobalancer.controller.enable", "false", false); err != nil {
		t.Errorf("it cannot be switched off at run time: %v", err)
	}
}
