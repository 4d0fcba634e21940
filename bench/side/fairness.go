package side

import (
	"context"
	"errors"
	"time"

	"github.com/ringmq/ringmq/bench/rival"
)

// tinyPerWrite is how many tiny requests go in one write: what a thousandth of a second has of them at five million a second.
const tinyPerWrite = 5000

// What stops reading: so many connections, with so many large fetches under way each.
const (
	stalledConns    = 16
	stalledRequests = 4
	stallFor        = 2 * time.Second // at least
)

// fairnessCase measures a client that behaves, a thousand requests a second over four connections: alone, and beside a client that takes all it can get.
// Then it looks at the memory that consumers cost who stop reading. That all this has bounds is tested in bench/resilience; here are the figures.
func fairnessCase(ctx context.Context, s *session, rec *Record) error {
	if err := s.createTopic(ctx, "frames", rival.FramePartitions); err != nil {
		return err
	}
	if err := s.probeBeside(ctx, rec, "alone_", nil); err != nil {
		return err
	}
	// The tiny ones first: large frames leave work behind.
	if err := s.probeBeside(ctx, rec, "tiny_", func(ctx context.Context) error {
		begun := time.Now()
		n, err := rival.Tiny(ctx, s.in.Seed(), tinyPerWrite)
		rec.set("tiny_per_second", float64(n)/time.Since(begun).Seconds())
		return err
	}); err != nil {
		return err
	}
	if err := s.probeBeside(ctx, rec, "frames_", func(ctx context.Context) error {
		begun := time.Now()
		n, err := rival.Frames(ctx, s.in.Seed(), "frames")
		rec.set("frames_mb_s", float64(n)/mib/time.Since(begun).Seconds())
		return err
	}); err != nil {
		return err
	}
	return s.stall(ctx, rec)
}

// probeBeside probes beside others; nil is nobody.
func (s *session) probeBeside(ctx context.Context, rec *Record, prefix string, others func(context.Context) error) error {
	beside, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	if others == nil {
		done <- nil
	} else {
		go func() { done <- others(beside) }()
	}
	var r probeResult
	err := s.program(ctx, &r, "probe", "-json", "-server", s.in.Seed(), "-topic", "beside", "-size", "1024", "-conns", "4", "-rate", "1000",
		"-warmup", s.o.Profile.Warmup.String(), "-duration", s.o.Profile.BesideFor.String())
	stop()
	if err = errors.Join(err, <-done); err != nil {
		return err
	}
	rec.latency("produce "+prefix, prefix, r.Latency)
	rec.set(prefix+"unanswered", float64(r.Unanswered))
	for _, key := range []string{"p50_us", "p99_us"} {
		if alone := rec.Values["alone_"+key]; prefix != "alone_" && alone > 0 {
			rec.set("ratio_"+prefix+key, r.latencyOf(key)/alone)
		}
	}
	return nil
}

func (r probeResult) latencyOf(key string) float64 {
	if key == "p50_us" {
		return r.Latency.P50
	}
	return r.Latency.P99
}

// stall notes by how much the server grows at most beside consumers that stop reading.
func (s *session) stall(ctx context.Context, rec *Record) error {
	before, err := s.in.Usage()
	if err != nil {
		return err
	}
	hold, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		n, err := rival.Stall(hold, s.in.Seed(), "frames", stalledConns, stalledRequests)
		rec.set("stalled", float64(n))
		done <- err
	}()
	most := before.RSSBytes
	for begun := time.Now(); time.Since(begun) < max(s.o.Profile.BesideFor, stallFor); {
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		u, err := s.in.Usage()
		if err != nil {
			return err
		}
		most = max(most, u.RSSBytes)
	}
	stop()
	if err := <-done; err != nil {
		return err
	}
	rec.set("stalled_rss_mb", float64(most)/mib)
	// What the server grew to beside large frames it may use again here: the highest counts, and the growth says what came on top.
	rec.set("stalled_growth_mb", float64(most-before.RSSBytes)/mib)
	return nil
}
