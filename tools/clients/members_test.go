package clients

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// band is members of consumer groups that come and go, Java's in a virtual machine of java/members and franz-go's in this process. What they say is in
// the lines that Members.java describes.
type band struct {
	t    *testing.T
	seed string
	java *application // nil until a Java member starts
	kit  *javakit.Kit
	said syncBuffer // by franz-go's members
	own  map[string]context.CancelFunc
	wait sync.WaitGroup
}

// newBand returns a band without members. kit may be nil when none of them is to be Java's.
func newBand(t *testing.T, kit *javakit.Kit, seed string) *band {
	b := &band{t: t, seed: seed, kit: kit, own: make(map[string]context.CancelFunc)}
	t.Cleanup(func() {
		for _, end := range b.own {
			end()
		}
		b.wait.Wait()
		if t.Failed() {
			t.Logf("members:\n%s\nfranz-go's said:\n%s", b.tail(b.lines()), b.tail(strings.Split(b.said.String(), "\n")))
		}
	})
	return b
}

func (b *band) tail(lines []string) string { return strings.Join(lines[max(0, len(lines)-40):], "\n") }

// start starts a member; its settings are those of Members.java. A name that begins with "franz" is one of franz-go.
func (b *band) start(name string, settings ...string) {
	b.t.Helper()
	if strings.HasPrefix(name, "franz") {
		b.startFranz(name, settings)
		return
	}
	if b.java == nil {
		b.java = startApplication(b.t, b.kit, javakit.Command{Main: "Members", Env: []string{"CLIENT_BOOTSTRAP=" + b.seed}, HeapMB: 256})
	}
	b.command("start " + strings.Join(append([]string{name}, settings...), " "))
}

// close has a member leave, and waits until it has.
func (b *band) close(name string) {
	b.t.Helper()
	if end := b.own[name]; end != nil {
		end()
	} else {
		b.command("close " + name)
	}
	b.await(name+" leaves", func() error {
		if b.ended(name, "closed") == "" {
			return fmt.Errorf("it has %v", b.has(name))
		}
		return nil
	})
}

func (b *band) command(line string) {
	b.t.Helper()
	if _, err := fmt.Fprintln(b.java.stdin, line); err != nil {
		b.t.Fatal(err)
	}
}

// await waits for what members do.
func (b *band) await(what string, ok func() error) {
	b.t.Helper()
	waittest.UntilNil(b.t, patience, what, ok)
}

// lines are the events so far, of each client in the order in which they came.
func (b *band) lines() []string {
	text := b.said.String()
	if b.java != nil {
		java := b.java.output.String()
		text += java[:strings.LastIndexByte(java, '\n')+1]
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// last is the last event of a kind of a member since it started last, without these two words; ok is false when there is none.
func (b *band) last(name, kind string) (rest string, ok bool) {
	for _, line := range slices.Backward(b.lines()) {
		if words := strings.SplitN(line, " ", 3); len(words) > 1 && words[0] == kind && words[1] == name {
			return strings.Join(words[2:], " "), true
		}
	}
	return "", false
}

// ended is the last thing that a member said if it is of the kind, with which a member ends.
func (b *band) ended(name, kind string) string {
	for _, line := range slices.Backward(b.lines()) {
		if words := strings.SplitN(line, " ", 3); len(words) > 1 && words[1] == name {
			if words[0] != kind {
				return ""
			}
			return line
		}
	}
	return ""
}

// has are the partitions that a member has, in order.
func (b *band) has(name string) []string {
	rest, _ := b.last(name, "has")
	return slices.Sorted(slices.Values(strings.Fields(rest)))
}

// awaitShares waits until each of the members has as many partitions as the others, count in all and none twice.
func (b *band) awaitShares(count int, names ...string) {
	b.t.Helper()
	b.await(fmt.Sprintf("%d partitions are shared by %v", count, names), func() error {
		all := make(map[string]bool)
		var shares []string
		even := true
		for _, name := range names {
			if failed := b.ended(name, "failed"); failed != "" {
				b.t.Fatal(failed)
			}
			has := b.has(name)
			shares = append(shares, fmt.Sprintf("%s: %v", name, has))
			even = even && len(has) == count/len(names)
			for _, p := range has {
				all[p] = true
			}
		}
		if !even || len(all) != count {
			return fmt.Errorf("%s", strings.Join(shares, ", "))
		}
		return nil
	})
}

// claim is a run of offsets that a member got and committed.
type claim struct {
	member   string
	sure     bool
	from, to int64
}

// claims are what was taken of each partition, by offset. A partition goes from member to member when who had it has committed, so that their order is
// that of the offsets.
func (b *band) claims() map[string][]claim {
	all := make(map[string][]claim)
	for _, line := range b.lines() {
		if words := strings.Fields(line); len(words) == 6 && words[0] == "took" {
			c := claim{member: words[1], sure: words[2] == "ok"}
			if _, err := fmt.Sscan(words[4]+" "+words[5], &c.from, &c.to); err != nil {
				b.t.Fatalf("%q: %v", line, err)
			}
			all[words[3]] = append(all[words[3]], c)
		}
	}
	for _, list := range all {
		slices.SortStableFunc(list, func(x, y claim) int {
			if x.from != y.from {
				return int(x.from - y.from)
			}
			return int(x.to - y.to)
		})
	}
	return all
}

// verify judges that every record up to the ends was taken, and that none was taken by two whose commits were both acknowledged.
func (b *band) verify(ends map[string]int64) {
	b.t.Helper()
	claims := b.claims()
	for p, end := range ends {
		var covered, sure int64
		for _, c := range claims[p] {
			if c.from > covered {
				b.t.Errorf("%s: nobody has taken %d to %d before %+v", p, covered, c.from, c)
			}
			if c.sure && c.from < sure {
				b.t.Errorf("%s: %+v was taken before, up to %d", p, c, sure)
			}
			covered = max(covered, c.to)
			if c.sure {
				sure = max(sure, c.to)
			}
		}
		if covered != end {
			b.t.Errorf("%s: taken up to %d of %d", p, covered, end)
		}
	}
}

// startFranz runs a member of franz-go.
func (b *band) startFranz(name string, settings []string) {
	b.t.Helper()
	opts := []kgo.Opt{
		kgo.SeedBrokers(b.seed), kgo.ClientID(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond), kgo.MetadataMaxAge(2 * time.Second),
	}
	for _, s := range settings {
		switch key, value, _ := strings.Cut(s, "="); key {
		case "group.id":
			opts = append(opts, kgo.ConsumerGroup(value))
		case "group.protocol":
			if value == "consumer" {
				opts = append(opts, kgo.ServerSideBalancer())
			}
		case "group.remote.assignor":
			if value == "range" {
				opts = append(opts, kgo.Balancers(kgo.RangeBalancer()))
			}
		case "group.instance.id":
			opts = append(opts, kgo.InstanceID(value))
		case "topics":
			opts = append(opts, kgo.ConsumeTopics(strings.Split(value, ",")...))
		case "pattern":
			opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(value))
		default:
			b.t.Fatalf("franz-go's member has no setting %s", s)
		}
	}
	has := make(map[string]bool)
	change := func(there bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) { // never two at a time
			for topic, partitions := range changed {
				for _, p := range partitions {
					if key := fmt.Sprintf("%s-%d", topic, p); there {
						has[key] = true
					} else {
						delete(has, key)
					}
				}
			}
			fmt.Fprintln(&b.said, "has", name, strings.Join(slices.Sorted(maps.Keys(has)), " "))
		}
	}
	cl, err := kgo.NewClient(append(opts, kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))...)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	b.own[name] = end
	b.wait.Go(func() {
		for ctx.Err() == nil {
			b.takeFranz(ctx, cl, name)
			cl.AllowRebalance()
		}
		cl.CloseAllowingRebalance()
		fmt.Fprintln(&b.said, "closed", name)
	})
}

// takeFranz polls once, and commits what came.
func (b *band) takeFranz(ctx context.Context, cl *kgo.Client, name string) {
	poll, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	fetches := cl.PollRecords(poll, 50)
	if fetches.NumRecords() == 0 {
		return
	}
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	outcome := "ok"
	if err := cl.CommitRecords(commit, fetches.Records()...); err != nil {
		outcome = "maybe"
		b.t.Logf("%s: commit: %v", name, err)
	}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			fmt.Fprintf(&b.said, "took %s %s %s-%d %d %d\n", name, outcome, p.Topic, p.Partition, p.Records[0].Offset, p.Records[n-1].Offset+1)
		}
	})
}

// writer fills topics all the time, whatever becomes of the broker.
type writer struct {
	stop   func()
	failed atomic.Pointer[error]
}

// startWriter starts one. It ends with the test at the latest.
func startWriter(t *testing.T, seed string, topics ...string) *writer {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		ticks := time.NewTicker(5 * time.Millisecond)
		defer ticks.Stop()
		for ctx.Err() == nil {
			for _, topic := range topics {
				cl.Produce(context.Background(), &kgo.Record{Topic: topic, Value: []byte("v")}, func(_ *kgo.Record, err error) {
					if err != nil {
						w.failed.CompareAndSwap(nil, &err)
					}
				})
			}
			<-ticks.C
		}
	})
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		flush, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := cl.Flush(flush); err != nil {
			w.failed.CompareAndSwap(nil, &err)
		}
		cl.Close()
	})
	t.Cleanup(w.stop)
	return w
}

// finish ends the writer, waits until the group has committed everything, and judges what the members took.
func (b *band) finish(w *writer, group string, topics ...string) {
	b.t.Helper()
	w.stop()
	if err := w.failed.Load(); err != nil {
		b.t.Fatalf("produce: %v", *err)
	}
	adm := kadm.NewClient(seedClient(b.t, b.seed))
	var ends map[string]int64
	b.await(group+" commits the ends of its topics", func() error {
		ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
		defer cancel()
		listed, err := adm.ListEndOffsets(ctx, topics...)
		if err != nil {
			return err
		}
		committed, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		ends = make(map[string]int64)
		for _, topic := range topics {
			for p, end := range listed[topic] {
				ends[fmt.Sprintf("%s-%d", topic, p)] = end.Offset
				if got, ok := committed.Lookup(topic, p); !ok || got.At != end.Offset {
					return fmt.Errorf("%s-%d: %d of %d (%v)", topic, p, got.At, end.Offset, end.Err)
				}
			}
		}
		return nil
	})
	b.await("the members say so", func() error {
		claims := b.claims()
		for p, end := range ends {
			if list := claims[p]; len(list) == 0 || list[len(list)-1].to < end {
				return fmt.Errorf("%s: %+v of %d", p, list, end)
			}
		}
		return nil
	})
	b.verify(ends)
}

// groupType is the type of a group: classic or consumer.
func (b *band) groupType(group string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	for _, answer := range seedClient(b.t, b.seed).RequestSharded(ctx, kmsg.NewPtrListGroupsRequest()) {
		if answer.Err != nil {
			b.t.Fatal(answer.Err)
		}
		for _, g := range answer.Resp.(*kmsg.ListGroupsResponse).Groups {
			if g.Group == group {
				return strings.ToLower(g.GroupType)
			}
		}
	}
	return ""
}

// seedClient is a client for questions, closed with the test.
func seedClient(t *testing.T, seed string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// create creates topics. They may be there.
func (b *band) create(partitions int32, topics ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	made, err := kadm.NewClient(seedClient(b.t, b.seed)).CreateTopics(ctx, partitions, 1, nil, topics...)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, topic := range topics {
		if err := made[topic].Err; err != nil && err != kerr.TopicAlreadyExists {
			b.t.Fatal(err)
		}
	}
}
