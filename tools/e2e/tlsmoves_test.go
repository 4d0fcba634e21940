package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringmq/ringmq/bench/verify"
	"github.com/ringmq/ringmq/netpoll/tlstest"
)

// TestMovesOverTLS: three controllers and two brokers, and no listener in plaintext: partitions move to and fro under load, and every acknowledged record is at its
// offset, once, and was served so to a consumer that followed.
func TestMovesOverTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: moves of partitions over TLS, which run a cluster")
	}
	const topic, partitions, rounds = "moved", 24, 12
	ca, dir := tlstest.NewCA(t, "cluster CA"), t.TempDir()
	trust := tlstest.WriteFile(t, dir, "ca.pem", ca.PEM())
	q := &quorum{tls: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.Issue("client", nil).TLS()}}, more: func(id int) []string {
		name := fmt.Sprintf("node-%d", id)
		return []string{"listener.security.protocol.map=SSL:SSL,CONTROLLER:SSL", "ssl.client.auth=required", "ssl.truststore.type=PEM", "ssl.truststore.location=" + trust,
			"ssl.keystore.type=PEM", "ssl.keystore.location=" + tlstest.WriteFile(t, dir, name+".pem", ca.Issue(name, nil).PEM())}
	}}
	q.start(t, "controller", 4, 5)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seeds := []string{q.nodes[4].Seed(), q.nodes[5].Seed()}
	if cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.RequestRetries(0)); err != nil || cl.Ping(ctx) == nil {
		t.Fatalf("a client in plaintext is served (%v)", err)
	}
	secure := kgo.DialTLSConfig(q.tls)
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), secure, kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	ledger, gaps := verify.NewLedger(partitions), verify.NewGaps(partitions)
	tail, err := verify.StartTail(seeds, topic, partitions, secure)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	producing, stop := context.WithCancel(ctx)
	defer stop()
	produced := make(chan error, 1)
	go func() {
		produced <- verify.Produce(producing, verify.Load{Seeds: seeds, Topic: topic, RecordBytes: 300, Rate: 600, Gaps: gaps, Options: []kgo.Opt{secure}}, ledger, time.Minute, nil)
	}()
	settled := func(since time.Time) {
		t.Helper()
		for len(gaps.Without(since)) > 0 {
			select {
			case err := <-produced:
				t.Fatalf("the producer ended: %v", err)
			case <-ctx.Done():
				t.Fatalf("partitions %v are not acknowledged", gaps.Without(since))
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	settled(time.Now())
	gaps.Reset()
	var took time.Duration
	for round := range rounds {
		var moves kadm.AlterPartitionAssignmentsReq
		for p := range partitions {
			moves.Assign(topic, int32(p), []int32{int32(4 + (p+round)%2)})
		}
		begun := time.Now()
		asked, err := adm.AlterPartitionAssignments(ctx, moves)
		if err == nil {
			err = asked.Error()
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for left := partitions; left > 0; {
			topics, err := adm.ListTopics(ctx, topic)
			if err != nil {
				t.Fatalf("round %d: %d partitions have not moved: %v", round, left, err)
			}
			left = 0
			for p, d := range topics[topic].Partitions {
				if d.Leader != 4+(p+int32(round))%2 {
					left++
				}
			}
		}
		took += time.Since(begun)
		settled(time.Now())
	}
	stop()
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	report, err := verify.CheckWith(ctx, []kgo.Opt{kgo.SeedBrokers(seeds...), secure}, topic, ledger, tail)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(report.Violations, "\n"))
	}
	if sent, acked := ledger.Counts(); sent != acked || acked == 0 {
		t.Errorf("%d records sent, %d acknowledged", sent, acked)
	}
	longest := time.Duration(0)
	for _, g := range gaps.Longest() {
		longest = max(longest, g)
	}
	t.Logf("%d rounds of %d moves in %v, longest time without an acknowledgement on a partition %v, %d records", rounds, partitions, took.Round(time.Millisecond), longest.Round(time.Millisecond), report.Records)
}
