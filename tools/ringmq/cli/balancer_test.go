package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/kraft/balancer"
)

// TestBalancerCommands asks a running node, through its listener for clients and through that for controllers.
func TestBalancerCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the balancer's commands, which start a node")
	}
	n := enginetest.Start(t, enginetest.Options{})
	for _, where := range []string{"--bootstrap-server=" + n.Seed(), "--bootstrap-controller=127.0.0.1:1," + n.Node().Addr().String()} {
		for _, tt := range []struct {
			argv string
			code int
			text string
		}{
			{"status", 0, "there is one broker: nothing to balance"},
			{"explain", 0, "fewer than two brokers take part"},
			{"plan --dry-run", 0, "nothing to move"},
			{"plan", 2, "give --dry-run"},
			{"drain 9", 1, "broker 9 is not registered"},
			{"drain x", 2, `BROKER "x" is not a node id`},
			{"drain", 2, "BROKER"},
			{"drain 1", 0, "broker 1 has no partitions"},
			{"status", 0, "drained"},
			{"undrain 1", 0, "broker 1 gets partitions again"},
			{"frobnicate", 2, "allowed: drain, explain, plan, status, undrain"},
		} {
			argv := append([]string{"ringmq", "balancer"}, strings.Fields(tt.argv)...)
			if tt.argv != "frobnicate" {
				argv = append(argv, where)
			}
			code, stdout, stderr, _ := run(t, argv...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.text) {
				t.Errorf("%v: status %d: %s%s, want %d with %q", argv, code, stdout, stderr, tt.code, tt.text)
			}
		}
		var state kraft.BalancerState
		if code, stdout, stderr, _ := run(t, "ringmq", "balancer", "status", "--json", where); code != 0 || json.Unmarshal([]byte(stdout), &state) != nil || len(state.Brokers) != 1 {
			t.Errorf("%d %s%s", code, stdout, stderr)
		}
		var plan balancer.Plan
		if code, stdout, stderr, _ := run(t, "ringmq", "balancer", "explain", "--json", where); code != 0 || json.Unmarshal([]byte(stdout), &plan) != nil || len(plan.Goals) != len(balancer.Known()) {
			t.Errorf("%d %s%s", code, stdout, stderr)
		}
		if code, stdout, _, _ := run(t, "ringmq", "balancer", "plan", "--dry-run", "--json", where); code != 0 || stdout != "[]\n" {
			t.Errorf("%d %s", code, stdout)
		}
	}
	for argv, text := range map[string]string{
		"": "give --bootstrap-server or --bootstrap-controller", "--bootstrap-server=127.0.0.1:1": "no node answered: kraft: not sent: 127.0.0.1:1",
		"--bootstrap-server=a --bootstrap-controller=b": "one of them",
	} {
		code, _, stderr, _ := run(t, append([]string{"ringmq", "balancer", "status"}, strings.Fields(argv)...)...)
		if code == 0 || !strings.Contains(stderr, text) {
			t.Errorf("%q: status %d: %s", argv, code, stderr)
		}
	}
}
