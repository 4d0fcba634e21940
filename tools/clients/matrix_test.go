package clients

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/tools/javakit"
)

// program is a client of the matrix.
type program struct {
	name    string
	core    bool     // runs in `make test`, over plaintext
	checks  []string // what it has to pass
	secure  []string // the mechanisms with which it runs over SASL_SSL in the whole matrix
	prepare func(*testing.T) runner
}

// runner runs a program with an environment.
type runner func(ctx context.Context, env []string) (stdout, stderr string, err error)

// produce are the names of the checks of codecs.
func produce(codecs ...string) []string {
	var list []string
	for _, c := range codecs {
		list = append(list, "produce-"+c)
	}
	return list
}

// everything is all that PROTOCOL.md has.
var everything = append(produce("none", "gzip", "snappy", "lz4", "zstd"),
	"create", "reference", "group", "time", "admin-configs", "admin-groups", "admin-records", "admin-topics", "transactions", "fencing", "large")

// without is everything but some checks that a client has no call for.
func without(checks ...string) []string {
	return slices.DeleteFunc(slices.Clone(everything), func(c string) bool { return slices.Contains(checks, c) })
}

var scram = []string{"PLAIN", "SCRAM-SHA-512"}

// programs is the matrix.
var programs = []program{
	{name: "java-" + javakit.KafkaVersion, core: true, checks: everything, secure: scram, prepare: javaClient(javakit.AppSet)},
	{name: "java-" + javakit.OldKafkaVersion, checks: everything, secure: scram, prepare: javaClient(javakit.OldAppSet)},
	{name: "confluent-kafka", checks: everything, secure: scram, prepare: pythonClient("confluent.py")},
	{name: "kafka-python", checks: everything, secure: scram, prepare: pythonClient("kafkapython.py")},
	{name: "kafkajs", checks: everything, secure: scram, prepare: nodeClient("kafkajs.js")},
	{name: "franz-go", checks: everything, secure: scram, prepare: goClient("franz")},
	{name: "sarama", checks: everything, secure: scram, prepare: goClient("sarama")},
	{name: "kafka-go", checks: without("transactions", "fencing", "admin-records"), secure: scram, prepare: goClient("kafkago")}, // it has no call for them
}

// javaClient is the Java program against the libraries of a set.
func javaClient(set javakit.Set) func(*testing.T) runner {
	return func(t *testing.T) runner {
		kit := compiled(t, set)
		return func(ctx context.Context, env []string) (string, string, error) {
			r, err := kit.Run(ctx, javakit.Command{Main: "Client", Env: env, HeapMB: 512})
			if err == nil && r.ExitCode != 0 {
				err = fmt.Errorf("exit status %d", r.ExitCode)
			}
			return r.Stdout, r.Stderr, err
		}
	}
}

// TestMatrix runs every client against one node, over plaintext and over SASL_SSL, and compares what they have read with what another client reads.
func TestMatrix(t *testing.T) {
	notShort(t)
	n := startSecureNode(t)
	reference := n.fillReference(t)
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			if !p.core {
				wholeOnly(t)
			}
			run := p.prepare(t)
			prefix := strings.NewReplacer(".", "", "-", "").Replace(p.name)
			t.Run("plaintext", func(t *testing.T) {
				n.runClient(t, p, run, reference, "CLIENT_PREFIX="+prefix, "CLIENT_SECURITY=plaintext", "CLIENT_BOOTSTRAP="+n.Seed())
			})
			for _, mechanism := range p.secure {
				t.Run(mechanism, func(t *testing.T) {
					wholeOnly(t)
					n.runClient(t, p, run, reference, "CLIENT_PREFIX="+prefix+mechanism, "CLIENT_SECURITY=sasl_ssl", "CLIENT_BOOTSTRAP="+n.secure,
						"CLIENT_MECHANISM="+mechanism, "CLIENT_USER="+user, "CLIENT_PASSWORD="+password, "CLIENT_CA="+n.ca)
				})
			}
		})
	}
}

const referenceTopic = "reference"

// fillReference fills the topic that all programs read: every codec, keys, headers, nulls.
func (n *node) fillReference(t *testing.T) sum {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := kadm.NewClient(n.client(t)).CreateTopic(ctx, 3, 1, nil, referenceTopic); err != nil {
		t.Fatal(err)
	}
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		cl := n.client(t, kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(referenceTopic))
		for i := range 200 {
			r := &kgo.Record{Key: fmt.Append(nil, "key", i%40), Value: fmt.Append(nil, "value ", i, strings.Repeat(" long", i))}
			switch i % 10 {
			case 3:
				r.Key = nil
			case 5:
				r.Value = nil
			case 7:
				r.Value = []byte{}
			case 8:
				r.Headers = []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{0, 0xff}}}
			}
			cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("reference: %v", err)
				}
			})
		}
		if err := cl.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	s := n.read(t, referenceTopic, nil)
	if s.count != 1000 {
		t.Fatalf("the reference topic has %s", s)
	}
	return s
}

// runClient runs a program once and judges its report.
func (n *node) runClient(t *testing.T, p program, run runner, reference sum, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	begun := time.Now()
	stdout, stderr, err := run(ctx, append(env, "CLIENT_REFERENCE="+referenceTopic))
	r, parseErr := parseReport(stdout)
	if err != nil || parseErr != nil {
		t.Fatalf("%v %v\n%s\n%s", err, parseErr, stdout, stderr[max(0, len(stderr)-6000):])
	}
	got, want := slices.Sorted(slices.Values(r.ok)), slices.Sorted(slices.Values(p.checks))
	if !slices.Equal(got, want) {
		t.Errorf("passed %v, want %v\n%s\n%s", got, want, strings.Join(r.other, "\n"), stderr)
	}
	if r.sums[referenceTopic] != reference {
		t.Errorf("of the reference topic it read %s, want %s", r.sums[referenceTopic], reference)
	}
	for _, check := range p.checks { // every check that produces has something to compare
		if codec, ok := strings.CutPrefix(check, "produce-"); ok && !slices.ContainsFunc(slices.Collect(maps.Keys(r.sums)), func(topic string) bool { return strings.HasSuffix(topic, "-"+codec) }) {
			t.Errorf("%s: no sum", check)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(r.sums)) {
		if s := n.read(t, topic, nil); s != r.sums[topic] {
			t.Errorf("%s: the program read %s, franz-go reads %s", topic, r.sums[topic], s)
		}
	}
	t.Logf("%d checks, %d topics compared, %s", len(r.ok), len(r.sums), time.Since(begun).Round(time.Millisecond))
}
