package resilience

import (
	"context"
	"testing"
	"time"

	"github.com/ringmq/ringmq/bench/rival"
)

// beside measures round trips while others do something until its context ends, and fails the test when they fail or somebody else starves.
func beside(t *testing.T, n *node, values map[string]any, others func(context.Context) (int64, error)) (did int64) {
	t.Helper()
	n.createTopic("beside", 1)
	quiet := latencies(t, n, "beside", time.Second)
	peak := memory(t, n.Process)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type outcome struct {
		did int64
		err error
	}
	done := make(chan outcome, 1)
	go func() { did, err := others(ctx); done <- outcome{did, err} }()
	took := latencies(t, n, "beside", 5*time.Second)
	stop()
	o := <-done
	if o.err != nil {
		t.Fatal(o.err)
	}
	rss := peak()
	limit := int64(residentBytes)
	if more, ok := values["outbound_mib"]; ok {
		limit += int64(more.(int)) * mib
	}
	values["did"], values["rss_peak_mib"], values["round_trips"], values["p50_quiet"] = o.did, rss/mib, len(took), at(quiet, 50).String()
	values["p50"], values["p99"], values["max"] = at(took, 50).String(), at(took, 99).String(), at(took, 100).String()
	note(t, values)
	if rss > limit {
		t.Errorf("resident memory grew to %d MiB, allowed are %d", rss/mib, limit/mib)
	}
	// The bounds are those of not starving: a machine that is busy with both sides makes everybody slower.
	if limit := 10*at(quiet, 50) + 300*time.Millisecond; at(took, 50) > limit {
		t.Errorf("others' round trips took %v at the median, %v when it was quiet; allowed %v", at(took, 50), at(quiet, 50), limit)
	}
	if worst := at(took, 100); worst > 5*time.Second {
		t.Errorf("somebody waited %v", worst)
	}
	return o.did
}

// TestLargeFrames: one client pushes requests of nearly 100 MiB, one after the other, all of which are accepted.
func TestLargeFrames(t *testing.T) {
	short(t)
	n := peersNode(t)
	n.createTopic("frames", rival.FramePartitions)
	did := beside(t, n, map[string]any{"client": "large frames"}, func(ctx context.Context) (int64, error) { return rival.Frames(ctx, n.Seed(), "frames") })
	if did < 200*mib {
		t.Errorf("%d MiB in large frames were acknowledged: the client with the large ones starves", did/mib)
	}
}

// TestTinyRequests: one client pipelines tiny requests, five thousand in each write, as fast as the node takes them.
func TestTinyRequests(t *testing.T) {
	short(t)
	n := peersNode(t)
	did := beside(t, n, map[string]any{"client": "tiny requests"}, func(ctx context.Context) (int64, error) { return rival.Tiny(ctx, n.Seed(), 5000) })
	if did < 10_000 {
		t.Errorf("only %d tiny requests were answered", did)
	}
}

// TestReadersThatStop: consumers ask for 100 MiB several times each and stop reading in the middle of the first answer. What they cost is bounded, and others
// are served.
func TestReadersThatStop(t *testing.T) {
	short(t)
	n := peersNode(t)
	n.createTopic("frames", rival.FramePartitions)
	fill, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if filled, err := rival.Frames(fill, n.Seed(), "frames"); err != nil || filled == 0 {
		t.Fatalf("filled %d bytes, %v", filled, err)
	}
	// Each would get 8 MiB, the most that one answer has: together 3 GiB. What all answers may take is 256 MiB.
	const conns, requests, outbound = 400, 5, 256
	beside(t, n, map[string]any{"client": "readers that stop", "connections": conns, "asked_mib": conns * requests * 100, "outbound_mib": outbound}, func(ctx context.Context) (int64, error) {
		return rival.Stall(ctx, n.Seed(), "frames", conns, requests)
	})
}
