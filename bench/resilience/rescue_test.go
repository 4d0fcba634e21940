package resilience

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/lab/labtest"
)

// deadBrokers starts a controller and three brokers with a load.
func deadBrokers(t *testing.T) (*labtest.Cluster, *labtest.Load) {
	t.Helper()
	short(t)
	c := labtest.Start(t, labtest.Options{Binary: server, Controllers: 1, Brokers: 3, Loopback: true})
	return c, c.StartLoad(labtest.LoadOptions{Topic: "orders", Partitions: 6})
}

// clusterCommand runs a command of the server's binary against the cluster, and returns its output and exit status.
func clusterCommand(c *labtest.Cluster, args ...string) (string, int) {
	c.T.Helper()
	ctx, cancel := context.WithTimeout(c.T.Context(), time.Minute)
	defer cancel()
	cmd := clusterCmd(ctx, c, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.T.Fatalf("%v: %v", args, err)
	}
	c.T.Logf("%s: exit status %d\n%s", strings.Join(args, " "), cmd.ProcessState.ExitCode(), bytes.TrimSpace(out))
	return string(out), cmd.ProcessState.ExitCode()
}

// clusterCmd is a command of the server's binary with what it has to know of the cluster.
func clusterCmd(ctx context.Context, c *labtest.Cluster, args ...string) *exec.Cmd {
	c.T.Helper()
	return exec.CommandContext(ctx, server, append(args, "--override", "cluster.id="+labtest.ClusterID, "--override", "process.roles=broker", "--override", "node.id=99",
		"--override", "listeners=PLAINTEXT://127.0.0.1:1", "--override", "controller.listener.names=CONTROLLER", "--override", "log.dirs="+c.T.TempDir(),
		"--override", "controller.quorum.voters="+strings.Join(c.Nodes[0].Voters, ","), "--override", "s3.data.buckets="+c.MinIO.BucketURI(),
		"--override", fmt.Sprintf("broker.session.timeout.ms=%d", labtest.Session.Milliseconds()), "--override", "broker.heartbeat.interval.ms=300",
		"--override", "s3.wal.path=0@file://"+filepath.Join(c.T.TempDir(), "unused")+"?capacity=67108864")...)
}

func walOf(n *labtest.Node) string { return filepath.Join(n.Dir, "wal") }

// refusesRescue expects a rescue to be refused with a reason.
func refusesRescue(c *labtest.Cluster, reason string, args ...string) {
	c.T.Helper()
	if out, status := clusterCommand(c, append([]string{"wal", "rescue"}, args...)...); status != 3 || !strings.Contains(out, reason) {
		c.T.Fatalf("exit status %d, want 3 and %q", status, reason)
	}
}

// rescues expects a rescue to succeed.
func rescues(c *labtest.Cluster, args ...string) string {
	c.T.Helper()
	begun := time.Now()
	out, status := clusterCommand(c, append([]string{"wal", "rescue"}, args...)...)
	if status != 0 {
		c.T.Fatalf("exit status %d", status)
	}
	labtest.Note(c, map[string]any{"rescue_ms": time.Since(begun).Milliseconds()})
	return out
}

// awaitOffline waits until just the partitions that a broker led are offline, with the reason.
func awaitOffline(c *labtest.Cluster, n *labtest.Node, topic string, before []int) {
	c.T.Helper()
	want := map[int]bool{}
	for p, leader := range before {
		if leader == n.NodeID {
			want[p] = true
		}
	}
	// Clients see what Apache Kafka 4.3.1 shows of a partition whose only replica is on a broker that was killed. A paused broker must not be asked: it takes connections, and does not answer.
	live := c.Client(kgo.SeedBrokers(c.Node(4).Seed()))
	defer live.Close()
	c.Await(30*time.Second, "metadata of offline partitions", func() error {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		resp, err := live.SeedBrokers()[0].Request(c.T.Context(), req)
		if err != nil {
			return err
		}
		for _, p := range resp.(*kmsg.MetadataResponse).Topics[0].Partitions {
			off := p.Leader == -1 && p.ErrorCode == 5 && len(p.Replicas) == 1 && len(p.ISR) == 0 && len(p.OfflineReplicas) == 1 && p.OfflineReplicas[0] == int32(n.NodeID)
			if off != want[int(p.Partition)] {
				return fmt.Errorf("partition %d: leader %d, error %d, offline replicas %v; to be offline: %v", p.Partition, p.Leader, p.ErrorCode, p.OfflineReplicas, want[int(p.Partition)])
			}
		}
		return nil
	})
	out, status := clusterCommand(c, "partition", "offline")
	if status != 3 {
		c.T.Errorf("partition offline: exit status %d, want 3", status)
	}
	for p := range before {
		found := false
		for l := range strings.Lines(out) {
			f := strings.Fields(l)
			found = found || len(f) > 3 && f[0] == topic && f[1] == fmt.Sprint(p) && f[2] == fmt.Sprint(n.NodeID) &&
				strings.Contains(l, fmt.Sprintf("tail on broker %d's write-ahead log", n.NodeID))
		}
		if found != want[p] {
			c.T.Errorf("partition %d: listed %v, want %v", p, found, want[p])
		}
	}
}

// leads waits until a broker leads some partition, and returns the leaders.
func leads(c *labtest.Cluster, topic string, n *labtest.Node) []int {
	c.T.Helper()
	leaders := c.AwaitLeaders(time.Minute, topic)
	for _, l := range leaders {
		if l == n.NodeID {
			return leaders
		}
	}
	c.T.Fatalf("broker %d leads nothing: %v", n.NodeID, leaders)
	return nil
}

// TestRescue kills a broker, has it refused to be rescued while that would be wrong, rescues it, and has it come back with its log and without.
func TestRescue(t *testing.T) {
	c, load := deadBrokers(t)
	dead := c.Node(2)
	before := leads(c, "orders", dead)
	refusesRescue(c, "the broker runs, be it paused", "--wal", walOf(dead))
	refusesRescue(c, "the broker runs, be it paused", "--wal", walOf(dead), "--force")

	gaps := c.Event("kill -9, rescue", func() {
		dead.Kill()
		refusesRescue(c, "broker 2 is alive", "--wal", walOf(dead))
		awaitOffline(c, dead, "orders", before)
		for _, n := range []*labtest.Node{c.Node(1), c.Node(3), c.Node(4)} {
			c.Await(10*time.Second, "line about the fenced broker", func() error {
				if log := n.Log(); !strings.Contains(log, "a broker is fenced") && !strings.Contains(log, "partitions are offline: their tail is on a dead broker's write-ahead log") {
					return fmt.Errorf("node %d says nothing", n.NodeID)
				}
				return nil
			})
		}
		rescues(c, "--wal", walOf(dead))
	})
	after := c.AwaitLeaders(time.Minute, "orders")
	for p, l := range after {
		if l == dead.NodeID || before[p] != dead.NodeID && l != before[p] {
			t.Errorf("partition %d was led by %d, and is by %d", p, before[p], l)
		}
	}
	others := gaps.Longest(func(_ string, p int) bool { return before[p] != dead.NodeID })
	labtest.Note(c, map[string]any{"event": gaps.Event, "longest_gap_ms": gaps.Longest(nil).Milliseconds(), "longest_gap_of_others_ms": others.Milliseconds()})
	if others > undisturbed {
		t.Errorf("partitions of other brokers were without an acknowledgement for %v", others)
	}
	if out, status := clusterCommand(c, "partition", "offline"); status != 0 || !strings.Contains(out, "are served") {
		t.Errorf("after the rescue: exit status %d", status)
	}
	rescues(c, "--wal", walOf(dead)) // again: there is nothing left to do
	dead.MustStart()                 // with its log, which is empty

	// The next one comes back with another log. Before the rescue that is refused, for it would lose records; afterwards nothing is missing.
	second := c.Node(3)
	leads(c, "orders", second)
	second.Kill()
	lost := walOf(second) + ".moved"
	if err := os.Rename(walOf(second), lost); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := second.Start(ctx); err == nil || !strings.Contains(err.Error(), "may still have acknowledged records") || !strings.Contains(err.Error(), "ringmq wal rescue") {
		t.Fatalf("start without the log: %v", err)
	}
	rescues(c, "--wal", lost, "--force")
	second.MustStart()
	c.AwaitLeaders(time.Minute, "orders")
	load.Check()
}

// TestPausedBroker pauses a broker until it is fenced. Its log cannot be rescued as long as its process has it. It wakes up and goes on. Paused again, its
// log is rescued from a copy, which stands for a device that was carried to another host: now it wakes up and must end, without having acknowledged or
// committed anything.
func TestPausedBroker(t *testing.T) {
	c, load := deadBrokers(t)
	n := c.Node(3)
	before := leads(c, "orders", n)
	c.Event("SIGSTOP beyond the session, SIGCONT", func() {
		send(c, n, syscall.SIGSTOP)
		awaitOffline(c, n, "orders", before)
		refusesRescue(c, "the broker runs, be it paused", "--wal", walOf(n))
		send(c, n, syscall.SIGCONT)
	})
	for p, l := range c.AwaitLeaders(time.Minute, "orders") {
		if l != before[p] {
			t.Errorf("partition %d was led by %d, and is by %d after a pause", p, before[p], l)
		}
	}

	c.Event("SIGSTOP, rescue of a copy, SIGCONT", func() {
		send(c, n, syscall.SIGSTOP)
		awaitOffline(c, n, "orders", before)
		copied := filepath.Join(t.TempDir(), "wal")
		copyFile(t, walOf(n), copied)
		rescues(c, "--wal", copied)
		leaders := c.AwaitLeaders(time.Minute, "orders")
		c.Run(time.Second) // the others serve what was its
		send(c, n, syscall.SIGCONT)
		select {
		case <-n.Exited():
		case <-time.After(30 * time.Second):
			t.Fatal("the broker goes on after its log was rescued")
		}
		if log := n.Log(); !strings.Contains(log, "another process has registered as broker 3 after this one") {
			t.Error("the broker does not say why it ended")
		}
		if now := c.AwaitLeaders(time.Minute, "orders"); fmt.Sprint(now) != fmt.Sprint(leaders) {
			t.Errorf("led by %v before it woke up, by %v after", leaders, now)
		}
	})
	n.MustStart() // with the original log: everything in it is uploaded
	c.Run(time.Second)
	load.Check()
}

// TestHeldAcknowledgements cuts a broker from the controller only: clients reach it, and it must stop to acknowledge when its session is over, and go on
// without an error when the network is back.
func TestHeldAcknowledgements(t *testing.T) {
	short(t)
	c := labtest.Start(t, labtest.Options{Binary: server, Controllers: 1, Brokers: 2})
	load := c.StartLoad(labtest.LoadOptions{Topic: "orders", Partitions: 4})
	n := c.Node(2)
	leaders := leads(c, "orders", n)
	c.Event("a cut shorter than the session", func() {
		must(c, n.Host.Cut(c.Node(1).Host))
		c.Run(labtest.Session / 3)
		must(c, n.Host.Heal())
	})
	if log := n.Log(); strings.Contains(log, "acknowledgements are held back") {
		t.Error("a short cut holds acknowledgements back")
	}
	gaps := c.Event("cut from the controller beyond the session", func() {
		must(c, n.Host.Cut(c.Node(1).Host))
		c.Await(30*time.Second, "line about held acknowledgements", func() error {
			if !strings.Contains(n.Log(), "acknowledgements are held back") {
				return errors.New("not yet")
			}
			return nil
		})
		c.Run(time.Second)
		must(c, n.Host.Heal())
	})
	if log := n.Log(); !strings.Contains(log, "acknowledgements go on") {
		t.Error("they do not go on")
	}
	for p, gap := range gaps.ByPartition["orders"] {
		if held := gap >= 900*time.Millisecond; held != (leaders[p] == n.NodeID) {
			t.Errorf("partition %d, led by broker %d, was without an acknowledgement for %v, while those of broker %d were held for a second", p, leaders[p], gap, n.NodeID)
		}
	}
	load.Check()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// killRounds kills brokers at random moments, one or two of three at a time, and brings each back: by a restart, or by a rescue first.
func killRounds(t *testing.T, rounds int) {
	c, load := deadBrokers(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		c.Run(time.Duration(rng.Int64N(int64(2 * time.Second))))
		brokers := c.Brokers()
		rng.Shuffle(len(brokers), func(i, j int) { brokers[i], brokers[j] = brokers[j], brokers[i] })
		victims := brokers[:1+rng.IntN(2)]
		rescue := rng.IntN(3) == 0
		gaps := c.Event(fmt.Sprintf("round %d: kill -9 of %d brokers", round, len(victims)), func() {
			for _, n := range victims {
				n.Kill()
			}
			for _, n := range victims {
				if rescue {
					rescues(c, "--wal", walOf(n), "--force")
				}
				n.MustStart()
			}
		})
		labtest.Note(c, map[string]any{"event": gaps.Event, "rescued": rescue, "victims": ids(victims), "longest_gap_ms": gaps.Longest(nil).Milliseconds()})
	}
	load.Check()
}

// TestBrokersKilled is the short form of TestSoakBrokersKilled.
func TestBrokersKilled(t *testing.T) { killRounds(t, 3) }

// TestSoakBrokersKilled: no acknowledged record is lost, moved or doubled, through any number of kills.
func TestSoakBrokersKilled(t *testing.T) {
	soak(t)
	killRounds(t, 60)
}
