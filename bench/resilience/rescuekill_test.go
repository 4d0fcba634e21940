package resilience

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// killedRescue runs a rescue and kills it with SIGKILL: a time after it has printed a line with the text, with after; and without a text, a time after its begin.
// It reports whether the rescue was killed before its end.
func killedRescue(c *labtest.Cluster, text string, after time.Duration, args ...string) bool {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), time.Minute)
	defer cancel()
	cmd := clusterCmd(ctx, c, append([]string{"wal", "rescue"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		c.T.Fatal(err)
	}
	for lines := bufio.NewScanner(out); text != "" && lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			break
		}
	}
	select {
	case <-time.After(after): // the moment of the kill, within the step that has begun
	case <-ctx.Done():
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode() == -1
}

// TestRescueKilled kills a rescue at each of its steps, and then either gives it again, or starts the broker, or gives it again after the broker was started and
// killed once more. Each time it ends, and in the end nothing acknowledged is lost, doubled or elsewhere.
func TestRescueKilled(t *testing.T) {
	c, load := deadBrokers(t)
	again := func(n *labtest.Node) { rescues(c, "--wal", walOf(n), "--force") }
	steps := []struct {
		text  string // of the line after which it is killed
		after time.Duration
		then  string
	}{
		{"the write-ahead log", 0, "again"},
		{"the write-ahead log", 30 * time.Millisecond, "broker"},
		{"registered in the place", 0, "broker, again"},
		{"registered in the place", 2 * time.Millisecond, "again"},
		{"recovered in", 0, "broker"},
		{"recovered in", 0, "again"},
		{"recovered in", 10 * time.Millisecond, "broker, again"},
		{"everything is uploaded", 0, "again"},
		{"everything is uploaded", 0, "broker"},
		{"live leader now", 0, "broker"},
		{"live leader now", 0, "again"},
	}
	killed := 0
	for i, s := range steps {
		n := pick(c.Brokers(), i)
		c.Run(300 * time.Millisecond)
		was := c.AwaitLeaders(time.Minute, "orders")
		gaps := c.Event(fmt.Sprintf("rescue killed %v after %q, then %s", s.after, s.text, s.then), func() {
			n.Kill()
			if killedRescue(c, s.text, s.after, "--wal", walOf(n), "--force") {
				killed++
			}
			switch s.then {
			case "again":
				again(n)
			case "broker, again":
				comesBack(c, n)
				n.Kill()
				again(n)
			}
			comesBack(c, n)
		})
		labtest.Note(c, map[string]any{"event": gaps.Event, "broker": n.NodeID, "led": leading(was)[n.NodeID], "longest_gap_ms": gaps.Longest(nil).Milliseconds()})
		level(c, "orders")
	}
	if killed < len(steps)/2 {
		t.Errorf("only %d of %d rescues were killed before their end", killed, len(steps))
	}
	load.Check()
}

// comesBack starts a broker whose rescue was killed. As long as that counts as alive the broker is refused, and says why; what runs it starts it again then.
func comesBack(c *labtest.Cluster, n *labtest.Node) {
	c.T.Helper()
	c.Await(labtest.Session+30*time.Second, fmt.Sprintf("start of broker %d", n.NodeID), func() error {
		ctx, cancel := context.WithTimeout(c.T.Context(), time.Minute)
		defer cancel()
		_, err := n.Start(ctx)
		if err != nil && !strings.Contains(err.Error(), "is being rescued by another process") {
			c.T.Fatal(err)
		}
		return err
	})
}

// level gives every broker some of a topic's partitions again, so that each has something to lose.
func level(c *labtest.Cluster, topic string) {
	c.T.Helper()
	brokers := c.Brokers()
	c.Reassign(topic, func(p int) int { return brokers[p%len(brokers)].NodeID })
}
