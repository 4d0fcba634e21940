package differ

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/enginetest"
	"github.com/ringmq/ringmq/tools/javakit"
)

var (
	kafkaAt  = flag.String("differ.kafka", "", "host:port of an Apache Kafka to ask; default: one is started")
	ringmqAt = flag.String("differ.ringmq", "", "host:port of a RingMQ to ask; default: one is started")
	seeds    = flag.Uint64("differ.seeds", 4, "requests of each version of each API")
	first    = flag.Uint64("differ.seed", 1, "the first seed")
	only     = flag.Int("differ.api", -1, "only this API key")
)

// settings are those of both brokers.
var settings = map[string]string{"auto.create.topics.enable": "false", "group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "5",
	"transaction.state.log.num.partitions": "5"}

// brokers are an Apache Kafka and a RingMQ.
func brokers(ctx context.Context, t *testing.T) (kafka, ringmq *side) {
	t.Helper()
	if *kafkaAt == "" {
		n, err := javakit.ForTest(t).StartKafka(ctx, javakit.KafkaOptions{Dir: t.TempDir(), Properties: settings})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Stop)
		*kafkaAt = n.Bootstrap
	}
	if *ringmqAt == "" {
		var overrides []string
		for key, value := range settings {
			overrides = append(overrides, key+"="+value)
		}
		*ringmqAt = enginetest.Start(t, enginetest.Options{Overrides: overrides}).Seed()
	}
	kafka, ringmq = newSide("Apache Kafka", *kafkaAt), newSide("RingMQ", *ringmqAt)
	t.Cleanup(kafka.close)
	t.Cleanup(ringmq.close)
	return kafka, ringmq
}

// TestDifferential asks Apache Kafka and RingMQ the same: every API that both have, in every version.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: the comparison with Apache Kafka, which takes half a minute")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	k, r := brokers(ctx, t)
	kv, err := k.versions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rv, err := r.versions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	used := map[int]int{}
	t.Run("frames", func(t *testing.T) { compareFrames(ctx, t, k, r, kv, rv) })
	order := slices.Sorted(maps.Keys(kv))
	slices.SortStableFunc(order, func(a, b int16) int { return cmp.Compare(late(a), late(b)) })
	for _, key := range order {
		if _, ok := rv[key]; !ok && notServed[key] == "" {
			t.Errorf("%s (%d) is not served, and not in the list of those that are not", kmsg.NameForKey(key), key)
		} else if ok && notServed[key] != "" {
			t.Errorf("%s (%d) is served: take it off the list of those that are not", kmsg.NameForKey(key), key)
		}
		if _, ok := rv[key]; ok && (*only < 0 || int16(*only) == key) && notGenerated[key] == "" {
			t.Run(kmsg.NameForKey(key), func(t *testing.T) { compareAPI(ctx, t, k, r, key, span(key, kv[key], rv[key]), used) })
		}
	}
	for i, a := range allowances {
		t.Logf("%d fields: %s %s: %s", used[i], a.api, a.path, a.reason)
		if used[i] == 0 && *only < 0 && *seeds >= 4 && *first == 1 && !t.Failed() {
			t.Errorf("no answer differs in the way that is allowed for %s %s any more: take it off the list", a.api, a.path)
		}
	}
}

// late puts JoinGroup behind all others: what becomes of its groups in time is not compared.
func late(key int16) int {
	if key == int16(kmsg.JoinGroup) {
		return 1
	}
	return 0
}

// span are the versions that both brokers serve and that can be built.
func span(key int16, a, b [2]int16) [2]int16 {
	last := kmsg.RequestForKey(key).MaxVersion()
	if bound, ok := lastVersion[key]; ok {
		last = bound
	}
	return [2]int16{max(a[0], b[0]), min(a[1], b[1], last)}
}

func compareAPI(ctx context.Context, t *testing.T, k, r *side, key int16, versions [2]int16, used map[int]int) {
	for _, s := range []*side{k, r} {
		if err := s.prepare(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for v := versions[0]; v <= versions[1]; v++ {
		for seed := *first; seed < *first+*seeds; seed++ {
			kf, err := k.fields(ctx, generate(key, v, seed, k.ids))
			if err != nil {
				t.Fatal(err)
			}
			rf, err := r.fields(ctx, generate(key, v, seed, r.ids))
			if err != nil {
				t.Fatal(err)
			}
			if kf[outcome] != rf[outcome] {
				kf, rf = fields{outcome: kf[outcome]}, fields{outcome: rf[outcome]}
			}
			told := false
			for _, d := range compare(kf, rf) {
				if absent(kmsg.NameForKey(key), d.path) {
					continue
				}
				if i, ok := allows(kmsg.NameForKey(key), d); ok {
					used[i]++
					continue
				}
				t.Errorf("v%d: %s: Apache Kafka %q, RingMQ %q", v, d.path, d.kafka, d.ringmq)
				if !told {
					t.Logf("the request, -differ.api=%d -differ.seed=%d: %+v", key, seed, generate(key, v, seed, k.ids))
					told = true
				}
			}
		}
	}
}

// absent tells whether a path is that of an API in ApiVersions that is not served, which TestDifferential looks at itself.
func absent(api, path string) bool {
	var key int16
	n, _ := fmt.Sscanf(path, "ApiKeys[%d]", &key)
	return api == "ApiVersions" && n == 1 && notServed[key] != ""
}

// compareFrames sends what is no request.
func compareFrames(ctx context.Context, t *testing.T, k, r *side, kv, rv map[int16][2]int16) {
	frames := wildFrames()
	for _, key := range slices.Sorted(maps.Keys(kv)) {
		if _, ok := rv[key]; ok && kv[key] == rv[key] && late(key) == 0 && notGenerated[key] == "" && kmsg.RequestForKey(key).MaxVersion() >= kv[key][1] {
			frames = append(frames, hostileFrames(key, kv[key], nil)...)
		}
	}
	for _, f := range frames {
		want, err := k.outcome(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		have, err := r.outcome(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if have != want {
			if _, ok := allowedFrames[f.name]; !ok {
				t.Errorf("%s: Apache Kafka %s, RingMQ %s", f.name, want, have)
			}
		}
	}
}

// TestCompare: what differs is found, whatever kind of field it is, and what brokers choose for themselves is not.
func TestCompare(t *testing.T) {
	answer := func(change func(*kmsg.MetadataResponse)) fields {
		resp := kmsg.NewPtrMetadataResponse()
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.TopicID = kmsg.StringPtr("one"), [16]byte{1}
		topic.Partitions = []kmsg.MetadataResponseTopicPartition{{Partition: 0, ISR: []int32{1}}, {Partition: 1, ISR: []int32{1}}}
		resp.Topics = append(resp.Topics, topic)
		resp.Brokers = append(resp.Brokers, kmsg.MetadataResponseBroker{NodeID: 1, Host: "a", Port: 9})
		change(resp)
		return flatten(resp, func(id [16]byte) string { return map[[16]byte]string{{1}: "one", {2}: "one"}[id] })
	}
	base := answer(func(*kmsg.MetadataResponse) {})
	for name, c := range map[string]struct {
		change func(*kmsg.MetadataResponse)
		paths  []string
	}{
		"the same": {func(*kmsg.MetadataResponse) {}, nil},
		"addresses and ids": {func(r *kmsg.MetadataResponse) {
			r.Brokers[0].Port, r.Brokers[0].Host, r.Topics[0].TopicID = 7, "b", [16]byte{2}
		}, nil},
		"order":              {func(r *kmsg.MetadataResponse) { slices.Reverse(r.Topics[0].Partitions) }, nil},
		"an error code":      {func(r *kmsg.MetadataResponse) { r.Topics[0].ErrorCode = 3 }, []string{"Topics[one,{id of one}].ErrorCode"}},
		"a null":             {func(r *kmsg.MetadataResponse) { r.Brokers[0].Rack = kmsg.StringPtr("") }, []string{"Brokers[1].Rack"}},
		"an array":           {func(r *kmsg.MetadataResponse) { r.Topics[0].Partitions[1].ISR = nil }, []string{"Topics[one,{id of one}].Partitions[1].ISR"}},
		"an unknown id":      {func(r *kmsg.MetadataResponse) { r.Topics[0].TopicID = [16]byte{} }, nil},
		"an element missing": {func(r *kmsg.MetadataResponse) { r.Brokers = nil }, nil},
	} {
		var paths []string
		for _, d := range compare(base, answer(c.change)) {
			paths = append(paths, d.path)
		}
		switch name {
		case "an unknown id", "an element missing":
			if len(paths) == 0 {
				t.Errorf("%s: not seen", name)
			}
		default:
			if !slices.Equal(paths, c.paths) {
				t.Errorf("%s: %v, want %v", name, paths, c.paths)
			}
		}
	}
}
