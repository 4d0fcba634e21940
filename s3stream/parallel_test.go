package s3stream_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream"
	"github.com/ringmq/ringmq/s3stream/s3test"
	"github.com/ringmq/ringmq/wal"
)

// TestParallel has everything happen at once: appends to many streams, hot and cold reads, closing and opening, trimming, compaction, sweeping, failing
// uploads; then a crash. It is meant for the race detector.
func TestParallel(t *testing.T) {
	w := newWorld(t, 16<<20)
	w.walOptions = func(o *wal.Options) { o.MemoryBytes = 4 << 20 }
	w.options = func(o *s3stream.Options) {
		o.UploadBytes, o.StreamSplitBytes, o.BlockBytes, o.BlockCacheBytes = 256<<10, 64<<10, 16<<10, 1<<20
		o.DeleteRetention, o.UploadInterval = time.Millisecond, 20*time.Millisecond
		o.CompactInterval, o.StreamCompactInterval, o.SweepInterval, o.OrphanInterval = 10*time.Millisecond, 15*time.Millisecond, 5*time.Millisecond, 50*time.Millisecond
	}
	w.mustStart()
	w.bucket.SetRates(s3test.Rates{Before: 0.05, After: 0.02})
	const loops, each, records = 4, 3, 1500
	var streams []*stream
	for range loops * each {
		streams = append(streams, w.newStream().mustOpen())
	}
	var work, readers sync.WaitGroup
	stop := make(chan struct{})
	for l := range loops {
		mine := streams[l*each : (l+1)*each]
		var opening sync.RWMutex // guards stream.s of mine
		work.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(l), 1))
			for range records {
				s := mine[rng.IntN(each)]
				for {
					err := s.append(200+rng.IntN(1500), 1+rng.Int64N(3), 1)
					if err == nil {
						break
					}
					if !errors.Is(err, s3stream.ErrFull) {
						t.Error(err)
						return
					}
					select {
					case <-w.space:
					case <-time.After(testTimeout):
						t.Errorf("no OnSpace within %v", testTimeout)
						return
					}
				}
				select {
				case w.space <- struct{}{}: // another loop may be waiting, too
				default:
				}
				if rng.IntN(400) == 0 {
					s.settle()
					opening.Lock()
					err := s.s.Close(ctxFor(t))
					for err == nil {
						if err = s.open(); err == nil || !errors.Is(err, s3test.ErrInjected) {
							break
						}
						err = nil // again, at the next epoch
					}
					opening.Unlock()
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		readers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(l), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := mine[rng.IntN(each)]
				opening.RLock()
				start, end := s.s.Start(), s.s.Confirmed()
				if end > start {
					from := start + rng.Int64N(end-start)
					got, err := s.s.Read(nil, from, end, 20000, true)
					if errors.Is(err, s3stream.ErrCold) {
						got, err = s.s.ReadCold(ctxFor(t), from, end, 20000, true)
					}
					if err == nil {
						err = s.check(from, end, 20000, got)
						release(got)
					} else if errors.Is(err, s3test.ErrInjected) {
						err = nil
					}
					if err != nil {
						t.Error(err)
					}
					s.s.Sizes()
					if rng.IntN(20) == 0 {
						_ = s.s.Trim(ctxFor(t), start+(end-start)/4) // may fail with the store
						s.s.Retain(0, 1000, 1<<20)
					}
				}
				opening.RUnlock()
				w.storage.Stats()
			}
		})
	}
	work.Wait()
	close(stop)
	readers.Wait()
	w.bucket.SetRates(s3test.Rates{})
	for _, s := range streams {
		s.settle()
		s.mustReadAll()
	}
	w.crash(5)
	w.mustStart()
	for _, s := range streams {
		s.start = 0
		s.mustOpen().mustReadAll()
	}
}
