package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/proc"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/freeport"
)

var binary string // of the server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary = os.Getenv("RINGMQ_BINARY"); binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "ringmq-clients-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "ringmq")
		if out, err := exec.Command("go", "build", "-ldflags=-checklinkname=0", "-o", binary, "../ringmq").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the server: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// all reports whether the whole matrix was asked for, not only its core.
func all() bool { return os.Getenv("RINGMQ_CLIENTS") == "all" }

// missing skips a test for the lack of something, or fails it where nothing may be lacking: in CI for what the core needs, and in the whole matrix.
func missing(t *testing.T, core bool, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	if os.Getenv("CI") == "true" && (core || all()) {
		t.Fatal(text)
	}
	t.Skipf("SKIPPED: real clients: %s", text)
}

// wholeOnly skips a test that is not of the core.
func wholeOnly(t *testing.T) {
	t.Helper()
	if testing.Short() || !all() {
		t.Skip("SKIPPED: part of the whole matrix: make test-clients")
	}
}

// notShort skips a test in short mode.
func notShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED by -short: real clients, which take minutes")
	}
}

// node is a RingMQ node for clients.
type node struct {
	*proc.RingMQ
	secure string // host:port of the SASL_SSL listener
	ca     string // file with the certificate of its authority
}

const (
	user     = "ann"
	password = "p4ss word,=;"
)

// startNode starts a node. It ends with the test.
func startNode(t *testing.T, overrides ...string) *node {
	t.Helper()
	return startOn(t, &proc.RingMQ{Overrides: overrides})
}

// startOn starts a node whose ports and overrides are given.
func startOn(t *testing.T, r *proc.RingMQ) *node {
	t.Helper()
	r.Binary, r.Dir = binary, t.TempDir()
	r.Overrides = append([]string{
		"s3.wal.path=0@file://" + filepath.Join(r.Dir, "wal") + "?capacity=134217728", "group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4",
	}, r.Overrides...)
	n := &node{RingMQ: r}
	n.start(t)
	t.Cleanup(func() {
		n.Kill()
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(r.Dir, "server.log")); err == nil {
				t.Logf("server log:\n%s", log[max(0, len(log)-8000):])
			}
		}
	})
	return n
}

func (n *node) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := n.Start(ctx); err != nil {
		t.Fatalf("start: %v", err)
	}
}

// startSecureNode starts a node with a PLAINTEXT listener and one that speaks SASL_SSL, with a certificate of a private authority and one user for all mechanisms.
func startSecureNode(t *testing.T, overrides ...string) *node {
	t.Helper()
	dir := t.TempDir()
	ca := tlstest.NewCA(t, "clients CA")
	var ports [3]int
	for i := range ports {
		var err error
		if ports[i], err = freeport.Get(); err != nil {
			t.Fatal(err)
		}
	}
	plain, secure, controller := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("localhost:%d", ports[1]), fmt.Sprintf("127.0.0.1:%d", ports[2])
	n := startOn(t, &proc.RingMQ{Port: ports[0], ControllerPort: ports[2], Overrides: append([]string{
		"listeners=PLAINTEXT://" + plain + ",SASL_SSL://" + secure + ",CONTROLLER://" + controller, "controller.quorum.voters=1@" + controller,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT", "inter.broker.listener.name=PLAINTEXT",
		"ssl.keystore.type=PEM", "ssl.keystore.location=" + tlstest.WriteFile(t, dir, "node.pem", ca.Issue("node", nil).PEM()),
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		`sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_` + user + `="` + password + `";`,
	}, overrides...)})
	n.secure, n.ca = secure, tlstest.WriteFile(t, dir, "ca.pem", ca.PEM())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	adm := kadm.NewClient(n.client(t))
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		r, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: m, Iterations: 4096, Password: password}})
		if err == nil {
			err = r.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// client is a franz-go client of the PLAINTEXT listener, closed with the test.
func (n *node) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.Seed())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}
