package engine

import (
	"context"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/wal"
)

// The broker tells the active controller what it does, so that partitions can be balanced. Nothing is measured for it on the path of a request: the counters are
// there, under locks that are taken anyway, and the time of appends is seen by looking at the log from outside.

// loadReporter collects one report after the other. It belongs to one goroutine.
type loadReporter struct {
	b       *Broker
	since   time.Time     // of the last report
	cpu     time.Duration // of the process, at the last report
	appends appendWatch
	parts   []kraft.PartitionLoad // reused
	told    bool                  // there was a first report
}

// appendSampleEvery is the time between two looks at the log, unless reports are so frequent that one would have too few.
const appendSampleEvery = 500 * time.Millisecond

// reportLoad reports until the broker closes. A report that does not reach the controller is lost.
func (b *Broker) reportLoad() {
	r := &loadReporter{b: b, since: time.Now(), cpu: processCPU(), appends: appendWatch{stats: b.wal.Stats}}
	interval := b.cfg.LoadReportInterval(b.dynamicConfig())
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-look.C:
		}
		look.Reset(min(appendSampleEvery, interval/8))
		if b.node.Image().NumBrokers() > 1 { // a lone broker is compared with nobody
			r.appends.look(b.ctx)
		}
		// The first report is not waited for: a new broker gets partitions when the controller has heard of it.
		if r.told && time.Since(r.since) < interval {
			continue
		}
		ctx, cancel := context.WithTimeout(b.ctx, max(interval, time.Second))
		err := r.report(ctx)
		cancel()
		if err != nil && b.ctx.Err() == nil {
			b.log.Debug("load not reported", "cause", err)
		}
		interval = b.cfg.LoadReportInterval(b.dynamicConfig())
	}
}

// dynamicConfig looks a broker key up that was set at run time, for this broker or for all.
func (b *Broker) dynamicConfig() func(key string) (string, bool) {
	return b.dynamic(b.node.Image())
}

func (r *loadReporter) report(ctx context.Context) error {
	now := time.Now()
	elapsed := max(now.Sub(r.since), time.Millisecond).Seconds()
	perSecond := func(n int64) int64 { return int64(float64(n) / elapsed) }
	r.parts = r.parts[:0]
	for _, s := range r.b.topics.all() {
		p := s.open.Load()
		if p == nil {
			continue
		}
		l := p.TakeLoad()
		if l.Requests == 0 || !r.told { // of what was before the first report nobody knows how long it took
			continue
		}
		r.parts = append(r.parts, kraft.PartitionLoad{Stream: kraft.StreamID(p.Stream()), BytesIn: perSecond(l.BytesIn), BytesOut: perSecond(l.BytesOut),
			MilliRequests: perSecond(1000 * l.Requests)})
	}
	cpu := processCPU()
	st := r.b.wal.Stats()
	host := kraft.HostLoad{
		CPUMillis: perSecond((cpu - r.cpu).Milliseconds()), CPUCapacityMillis: 1000 * int64(runtime.NumCPU()),
		WALUsed: st.Used, WALCapacity: st.Capacity, NetworkCapacity: r.b.cfg.S3.NetworkBandwidthBytesPerSecond,
	}
	host.AppendSamples, host.AppendMedianMicros, host.AppendPendingMicros = r.appends.take(now)
	r.since, r.cpu, r.told = now, cpu, true
	return r.b.node.ReportLoad(ctx, host, r.parts)
}

// processCPU is the processor time that the process has used.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// appendWatch measures how long appends take, from outside: it notes where the log ends, and looks how long it takes until everything before is durable. That is
// less than what an append takes as a whole, since it had begun before; but by the same share on every broker, and brokers are compared.
type appendWatch struct {
	stats   func() wal.Stats
	took    []time.Duration // since the last report
	at      wal.Position    // not durable when it was looked at; the look is under way while since is not zero
	since   time.Time
	longest time.Duration // since the last report
}

const (
	// appendPatience is for how long one look waits; an append that takes longer is looked after again by the next looks.
	appendPatience = 20 * time.Millisecond
	appendPoll     = 100 * time.Microsecond // the first pause between two looks at the log; they double
)

// look takes a sample if something is being appended.
func (w *appendWatch) look(ctx context.Context) {
	begun := time.Now()
	if w.since.IsZero() {
		st := w.stats()
		if st.Durable >= st.Next {
			return
		}
		w.at, w.since = st.Next, begun
	}
	for pause := appendPoll; ; pause *= 2 {
		if w.stats().Durable >= w.at {
			w.took = append(w.took, time.Since(w.since))
			w.longest = max(w.longest, time.Since(w.since))
			w.since = time.Time{}
			return
		}
		if time.Since(begun) >= appendPatience {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// take returns what was seen since the last call.
func (w *appendWatch) take(now time.Time) (samples int32, medianMicros, longestMicros int64) {
	if !w.since.IsZero() {
		w.longest = max(w.longest, now.Sub(w.since))
	}
	if n := len(w.took); n > 0 {
		slices.Sort(w.took)
		samples, medianMicros = int32(n), w.took[n/2].Microseconds()
	}
	longestMicros = w.longest.Microseconds()
	w.took, w.longest = w.took[:0], 0
	return samples, medianMicros, longestMicros
}
