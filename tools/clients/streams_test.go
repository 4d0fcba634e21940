package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// TestStreams: a Kafka Streams application with exactly_once_v2, a state store and a repartition topic counts words while the broker is killed twice, and once
// the application too. With the streams protocol (KIP-1071) a second instance joins between the two, and leaves. Every count from one to the true one is in the
// output exactly once, in order.
func TestStreams(t *testing.T) {
	wholeOnly(t)
	for _, c := range []struct {
		set      javakit.Set
		protocol string
	}{{javakit.AppSet, "classic"}, {javakit.OldAppSet, "classic"}, {javakit.AppSet, "streams"}} {
		kit := compiled(t, c.set)
		t.Run(kit.Version+" "+c.protocol, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			// Sessions of streams groups are the broker's to decide: an application that does not leave in good order is not waited for for long.
			n := startNode(t, "group.streams.min.session.timeout.ms=10000", "group.streams.session.timeout.ms=10000", "group.streams.min.heartbeat.interval.ms=1000",
				"group.streams.heartbeat.interval.ms=1000")
			cl := n.client(t, kgo.UnknownTopicRetries(-1), kgo.DefaultProduceTopic("lines"))
			if _, err := kadm.NewClient(cl).CreateTopics(ctx, 3, 1, nil, "lines", "counts"); err != nil {
				t.Fatal(err)
			}
			instance := func() javakit.Command {
				return javakit.Command{Main: "WordCount", Args: []string{"lines", "counts", t.TempDir()}, Env: []string{"CLIENT_PREFIX=wc", "CLIENT_BOOTSTRAP=" + n.Seed(), "GROUP_PROTOCOL=" + c.protocol}}
			}
			command := instance()
			app := startApplication(t, kit, command)
			w := newWords(ctx, t, cl)
			w.write(500)
			n.waitForRecords(ctx, t, "counts", 100) // it works
			for i := range 2 {
				w.write(500)
				n.Kill()
				n.start(t)
				w.write(500)
				if i == 0 && c.protocol == "streams" {
					n.secondInstance(ctx, t, kit, instance(), w)
				}
			}
			n.waitForRecords(ctx, t, "counts", 3000) // it is back at work
			app.end()                                // not in good order: it does not listen to signals
			app = startApplication(t, kit, command)
			w.write(500)
			n.checkCounts(t, w)
			if r := app.closeInput(); r.ExitCode != 0 || !strings.Contains(r.Stdout, "closed true") {
				t.Errorf("the application did not close: exit status %d", r.ExitCode)
			}
		})
	}
}

// secondInstance starts another instance of the application, sees it get tasks of the first one, and ends it in good order.
func (n *node) secondInstance(ctx context.Context, t *testing.T, kit *javakit.Kit, command javakit.Command, w *words) {
	t.Helper()
	second := startApplication(t, kit, command)
	cl := n.client(t)
	waittest.UntilNil(t, patience, "both instances have tasks", func() error {
		req := kmsg.NewPtrStreamsGroupDescribeRequest()
		req.Groups = []string{"wc-app"}
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		working := map[string]bool{}
		for _, g := range resp.Groups {
			for _, m := range g.Members {
				if g.State == "Stable" && len(m.Assignment.ActiveTasks) > 0 {
					working[m.ProcessID] = true
				}
			}
		}
		if len(working) != 2 {
			return fmt.Errorf("%+v", resp.Groups)
		}
		return nil
	})
	w.write(500)
	if r := second.closeInput(); r.ExitCode != 0 || !strings.Contains(r.Stdout, "closed true") {
		t.Errorf("the second instance did not close: exit status %d", r.ExitCode)
	}
	w.write(500)
}

// words is what was written into lines: how often each word.
type words struct {
	ctx    context.Context
	t      *testing.T
	cl     *kgo.Client
	random *rand.Rand
	want   map[string]int
}

func newWords(ctx context.Context, t *testing.T, cl *kgo.Client) *words {
	return &words{ctx, t, cl, rand.New(rand.NewPCG(1, 2)), map[string]int{}}
}

func (w *words) write(lines int) {
	w.t.Helper()
	for range lines {
		var line []string
		for range 1 + w.random.IntN(6) {
			word := fmt.Sprintf("word%d", w.random.IntN(20))
			line = append(line, word)
			w.want[word]++
		}
		w.cl.Produce(w.ctx, kgo.StringRecord(strings.Join(line, " ")), func(_ *kgo.Record, err error) {
			if err != nil {
				w.t.Errorf("a line: %v", err)
			}
		})
	}
	if err := w.cl.Flush(w.ctx); err != nil {
		w.t.Fatal(err)
	}
}

// checkCounts waits until every word is counted, and sees that each count comes once and in order.
func (n *node) checkCounts(t *testing.T, w *words) {
	t.Helper()
	total := 0
	for _, c := range w.want {
		total += c
	}
	got := map[string]int{}
	waittest.UntilNil(t, patience, "every word is counted", func() error {
		clear(got)
		s := n.read(t, "counts", func(r *kgo.Record) {
			if c, err := strconv.Atoi(string(r.Value)); err != nil || c != got[string(r.Key)]+1 {
				t.Fatalf("after count %d of %s comes %s (%v), at %d-%d", got[string(r.Key)], r.Key, r.Value, err, r.Partition, r.Offset)
			}
			got[string(r.Key)]++
		})
		if s.count < int64(total) {
			return fmt.Errorf("%d counts of %d", s.count, total)
		}
		return nil
	})
	for word, c := range w.want {
		if got[word] != c {
			t.Errorf("%s: counted %d, want %d", word, got[word], c)
		}
	}
	t.Logf("%d counts of %d words, in order, each once", total, len(w.want))
}

// waitForRecords waits until a topic has some records.
func (n *node) waitForRecords(ctx context.Context, t *testing.T, topic string, least int64) {
	t.Helper()
	adm := kadm.NewClient(n.client(t))
	waittest.UntilNil(t, patience, fmt.Sprintf("%s has %d records", topic, least), func() error {
		ends, err := adm.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		total := int64(0)
		ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
		if total < least {
			return fmt.Errorf("%d", total)
		}
		return nil
	})
}
