package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/tools/javakit"
)

// shareConsumers is a Java program with share consumers that do what it is told, see java/ShareConsumers.java.
type shareConsumers struct {
	t     *testing.T
	in    io.Writer
	lines chan string
}

func startShareConsumers(t *testing.T, addr string) *shareConsumers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	kit, err := javakit.ForTest(t).Compile(ctx, "java/ShareConsumers.java")
	if errors.Is(err, javakit.ErrNoCompiler) {
		t.Skipf("SKIPPED: share consumers in Java; they need a compiler: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	s := &shareConsumers{t, in, make(chan string, 16)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, err := kit.Run(ctx, javakit.Command{Main: "ShareConsumers", Args: []string{addr}, Stdin: stdin, Stdout: stdout})
		_ = stdout.CloseWithError(fmt.Errorf("%v, %v", r, err))
	}()
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			if answer, ok := strings.CutPrefix(scan.Text(), "> "); ok {
				s.lines <- answer
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		cancel()
		_ = out.Close()
		<-ended
	})
	return s
}

// say gives a command and returns the answer.
func (s *shareConsumers) say(format string, args ...any) string {
	s.t.Helper()
	if _, err := fmt.Fprintf(s.in, format+"\n", args...); err != nil {
		s.t.Fatal(err)
	}
	select {
	case answer, ok := <-s.lines:
		if !ok {
			s.t.Fatal("the program has ended")
		}
		return answer
	case <-time.After(2 * time.Minute):
		s.t.Fatalf("no answer to "+format, args...)
	}
	return ""
}

func (s *shareConsumers) do(format string, args ...any) {
	s.t.Helper()
	if answer := s.say(format, args...); answer != "ok" && answer != "committed" {
		s.t.Fatalf(format+": %s", append(args, answer)...)
	}
}

// poll wants records: values with their number of deliveries.
func (s *shareConsumers) poll(name string, want ...string) {
	s.t.Helper()
	got := strings.Fields(s.say("poll %s %d 60000", name, len(want)))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.t.Fatalf("%s got %v, want %v", name, got, want)
	}
}

// times are values, each with a number of deliveries.
func times(deliveries int, values ...string) (out []string) {
	for _, v := range values {
		out = append(out, fmt.Sprintf("%s/%d", v, deliveries))
	}
	return out
}

// shareNode is a node whose share groups begin at the start of a topic soon, and whose locks are short.
func shareNode(t *testing.T) (*proc.RingMQ, tools) {
	n := startNode(t, t.TempDir(), []string{
		"share.coordinator.state.topic.num.partitions=4", "group.share.min.heartbeat.interval.ms=300", "group.share.heartbeat.interval.ms=300",
		"group.share.min.record.lock.duration.ms=1000", "group.share.assignment.interval.ms=100", "num.partitions=1", "group.share.max.record.lock.duration.ms=3600000",
	})
	return n, tools{t, javakit.ForTest(t), n.Seed()}
}

func (k tools) shareGroup(group string, configs ...string) {
	k.Helper()
	k.run("kafka-configs", "", []string{"--alter", "--entity-type", "groups", "--entity-name", group, "--add-config", strings.Join(append(configs, "share.auto.offset.reset=earliest"), ",")})
}

func (k tools) produce(topic string, values ...string) {
	k.Helper()
	k.run("kafka-console-producer", strings.Join(values, "\n")+"\n", []string{"--topic", topic})
}

// TestShareConsumers: Kafka's share consumer in Java, by implicit and by explicit acknowledgement.
func TestShareConsumers(t *testing.T) {
	n, k := shareNode(t)
	s := startShareConsumers(t, n.Seed())

	k.shareGroup("implicit")
	k.produce("q", "a", "b", "c")
	s.do("open one implicit q implicit")
	s.poll("one", times(1, "a", "b", "c")...)
	s.do("commit one")
	k.produce("q", "d")
	s.poll("one", "d/1")
	s.do("close one") // lets go of d, as with Apache Kafka
	k.produce("q", "e")
	s.do("open again implicit q implicit")
	s.poll("again", "d/2", "e/1")
	s.do("commit again")
	s.do("close again")

	// Two consumers of one group share the partition: what one has the other does not get, and what it lets go it does.
	k.shareGroup("explicit", "share.record.lock.duration.ms=60000")
	s.do("open x explicit q explicit")
	s.do("open y explicit q explicit")
	s.poll("x", times(1, "a", "b", "c", "d", "e")...)
	k.produce("q", "f")
	s.poll("y", "f/1")
	s.do("ack y accept f")
	s.do("commit y")
	s.do("ack x accept a b")
	s.do("ack x reject c")
	s.do("ack x release d")
	s.do("ack x release e")
	s.do("commit x")
	s.poll("y", times(2, "d", "e")...)
	s.do("ack y accept d")
	s.do("ack y accept e")
	s.do("commit y")

	// A consumer that does nothing loses its records when the time is up, and is told so.
	k.shareGroup("explicit", "share.record.lock.duration.ms=3000")
	k.produce("q", "g")
	s.poll("x", "g/1")
	s.poll("y", "g/2")
	s.do("ack x accept g")
	if answer := s.say("commit x"); !strings.Contains(answer, "InvalidRecordStateException") {
		t.Errorf("to acknowledge what another consumer has by now: %s", answer)
	}
	s.do("ack y accept g")
	s.do("commit y")
	if got := s.say("poll y 1 1500"); got != "" {
		t.Errorf("after everything is done with: %s", got)
	}
	s.do("close x")
	s.do("close y")
}

// TestShareKilled: kill -9 between acknowledgements. What was accepted does not come again, everything else does.
func TestShareKilled(t *testing.T) {
	n, k := shareNode(t)
	s := startShareConsumers(t, n.Seed())
	k.shareGroup("g", "share.record.lock.duration.ms=3600000") // however long it takes
	k.produce("q", "a", "b", "c", "d", "e")
	s.do("open x g q explicit")
	s.poll("x", times(1, "a", "b", "c", "d", "e")...)
	s.do("ack x accept a c")
	s.do("ack x release b")
	s.do("ack x accept d")
	s.do("ack x release e")
	s.do("commit x")
	n.Kill()
	restart(t, n)
	k.produce("q", "f")
	s.do("open y g q explicit")
	var got []string
	for len(got) < 3 { // whichever of the two fetches first
		for _, name := range []string{"x", "y"} {
			records := strings.Fields(s.say("poll %s 1 2000", name))
			if len(records) == 0 {
				continue
			}
			got = append(got, records...)
			var mine []string
			for _, record := range records {
				value, _, _ := strings.Cut(record, "/")
				mine = append(mine, value)
			}
			// The session that x had is gone with the process, and with it what x had of the partition; it has begun another one to get these. The leader epoch is
			// raised when the broker registers, before it opens a partition, and nobody is served until all are open: what is fetched can be acknowledged.
			s.do("ack %s accept %s", name, strings.Join(mine, " "))
			s.do("commit %s", name)
		}
	}
	slices.Sort(got)
	if want := append(times(2, "b", "e"), "f/1"); !slices.Equal(got, want) {
		t.Errorf("after a crash %v are delivered, want %v", got, want)
	}
	k.run("kafka-share-groups", "", []string{"--describe", "--group", "g", "--offsets"}, "g               q               0")
	s.do("close x")
	s.do("close y")
}
