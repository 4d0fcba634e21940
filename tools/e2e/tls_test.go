package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/tools/javakit"
	"github.com/ringmq/ringmq/tools/waittest"
)

// logged waits until the log of a node has a line with all the words.
func (q *quorum) logged(id int, words ...string) {
	q.t.Helper()
	waittest.Until(q.t, time.Minute, fmt.Sprintf("the log of node %d has a line with %q", id, words), func() bool {
		b, err := os.ReadFile(filepath.Join(q.dir, fmt.Sprint(id), "server.log"))
		if err != nil && !os.IsNotExist(err) {
			q.t.Fatal(err)
		}
		return len(waittest.LinesWith(string(b), words...)) > 0
	})
}

// TestQuorumOverTLS: three controllers and two brokers that speak TLS with each other, each with a certificate of its own, do what a cluster does while the
// certificates are replaced and a controller dies; a node of another CA gets nowhere, and both sides say why.
func TestQuorumOverTLS(t *testing.T) {
	ours, theirs := tlstest.NewCA(t, "cluster CA"), tlstest.NewCA(t, "another CA")
	dir := t.TempDir()
	issue := func(id int, ca *tlstest.CA) string {
		return tlstest.WriteFile(t, dir, fmt.Sprintf("node-%d.pem", id), ca.Issue(fmt.Sprintf("node-%d", id), nil).PEM())
	}
	trust := tlstest.WriteFile(t, dir, "ca.pem", ours.PEM())
	q := startQuorumWith(t, func(id int) []string {
		ca := ours
		if id == 6 {
			ca = theirs
		}
		const prefix = "listener.name.controller.ssl."
		return []string{
			"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:SSL", prefix + "client.auth=required",
			prefix + "keystore.type=PEM", prefix + "keystore.location=" + issue(id, ca), prefix + "truststore.type=PEM", prefix + "truststore.location=" + trust,
		}
	}, "controller", 4, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(q.nodes[4].Seed(), q.nodes[5].Seed()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	roundTrip := func(topic string) {
		t.Helper()
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, 4, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		for i := range 8 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
		if total != 8 {
			t.Fatalf("topic %s has %d records of 8", topic, total)
		}
	}
	roundTrip("first")

	for id := 1; id <= 5; id++ {
		issue(id, ours)
		q.logged(id, "TLS: certificates loaded anew", fmt.Sprintf("CN=node-%d", id))
	}
	q.nodes[1].Kill()
	roundTrip("without-controller-1")
	if err := q.nodes[1].Launch(); err != nil {
		t.Fatal(err)
	}

	stranger := q.node(6, "broker")
	stranger.Voters = q.voters
	if err := stranger.Launch(); err != nil {
		t.Fatal(err)
	}
	q.logged(6, "TLS: this node's certificate is not good by its own trust store")
	q.logged(6, "no agreement with another node", "the peer does not trust this side's certificate")
	q.logged(2, "TLS handshake failed", "CN=node-6", "another CA", "is not signed by a CA of this side's trust store")
	stranger.Kill()

	// A program that is no node: with the properties of one it looks at the cluster.
	n := q.nodes[4]
	file := tlstest.WriteFile(t, dir, "node-4.properties", []byte(strings.Join(append([]string{"node.id=4", "process.roles=broker", "controller.listener.names=CONTROLLER",
		"listeners=PLAINTEXT://" + n.Seed(), "controller.quorum.voters=" + strings.Join(q.voters, ","), "log.dirs=" + filepath.Join(n.Dir, "log")}, n.Overrides...), "\n")))
	if out, err := exec.CommandContext(ctx, binary, "partition", "offline", file).CombinedOutput(); err != nil || !strings.Contains(string(out), "partitions are served") {
		t.Fatalf("partition offline: %v: %s", err, out)
	}

	kit := javakit.ForTest(t)
	client := tlstest.WriteFile(t, dir, "client.properties", []byte(strings.Join([]string{"security.protocol=SSL", "ssl.keystore.type=PEM",
		"ssl.keystore.location=" + issue(7, ours), "ssl.truststore.type=PEM", "ssl.truststore.location=" + trust}, "\n")))
	r, err := kit.Run(ctx, javakit.Command{Tool: "kafka-metadata-quorum", Args: []string{"--bootstrap-controller", q.controller(2), "--command-config", client, "describe", "--status"}})
	if err != nil || r.ExitCode != 0 || !strings.Contains(r.Stdout, "LeaderId:") {
		t.Fatalf("%v %s", err, r)
	}
}
