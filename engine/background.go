package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringmq/ringmq/engine/partition"
	"github.com/ringmq/ringmq/netpoll"
)

// workers runs functions on goroutines, as many at a time as its limit allows. The zero value has no limit.
type workers struct {
	slots chan struct{} // nil: no limit
	group sync.WaitGroup
}

func (w *workers) limit(n int) { w.slots = make(chan struct{}, n) }

// Go runs fn on a goroutine of its own, which waits for a free slot. It does not block.
func (w *workers) Go(fn func()) {
	w.group.Go(func() {
		if w.slots != nil {
			w.slots <- struct{}{}
			defer func() { <-w.slots }()
		}
		fn()
	})
}

// GoContext is Go, but fn runs without a slot when none is free before ctx ends; it has to be quick then.
func (w *workers) GoContext(ctx context.Context, fn func()) {
	w.group.Go(func() {
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
		case <-ctx.Done():
		}
		fn()
	})
}

// TryGo is Go if a slot is free at this moment; otherwise it returns false.
func (w *workers) TryGo(fn func()) bool {
	select {
	case w.slots <- struct{}{}:
	default:
		return false
	}
	w.group.Go(func() {
		defer func() { <-w.slots }()
		fn()
	})
	return true
}

func (w *workers) wait() { w.group.Wait() }

// rateLimit lets one event a second through, for log lines that hostile or broken peers could cause at will.
type rateLimit struct{ last atomic.Int64 }

func (r *rateLimit) allow() bool {
	now := time.Now().UnixNano()
	last := r.last.Load()
	return now-last >= int64(time.Second) && r.last.CompareAndSwap(last, now)
}

// parking is the list of connections whose held frame waits for something: room in the WAL, or the end of the broker's start.
type parking struct {
	mu    sync.Mutex
	conns map[*netpoll.Conn]*time.Timer // resumes the connection when its request's time is up; nil without a deadline
	woken chan struct{}                 // closed by the next wake; nil: nobody waits for it
}

// add notes that a connection waits, until the deadline if it is not zero. It returns false when that was known already.
func (p *parking) add(c *netpoll.Conn, deadline time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.conns[c]; known {
		return false
	}
	if p.conns == nil {
		p.conns = make(map[*netpoll.Conn]*time.Timer)
	}
	var timer *time.Timer
	if !deadline.IsZero() {
		timer = time.AfterFunc(max(time.Until(deadline), 0), c.Resume)
	}
	p.conns[c] = timer
	return true
}

// remove ends the wait of a connection.
func (p *parking) remove(c *netpoll.Conn) {
	p.mu.Lock()
	if timer := p.conns[c]; timer != nil {
		timer.Stop()
	}
	delete(p.conns, c)
	p.mu.Unlock()
}

// wake resumes everybody; each is in the list until it is removed. Called by the storage when there is room again; does not block.
func (p *parking) wake() {
	p.each((*netpoll.Conn).Resume)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.woken != nil {
		close(p.woken)
		p.woken = nil
	}
}

// next is closed by the next wake, for what waits without a connection.
func (p *parking) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.woken == nil {
		p.woken = make(chan struct{})
	}
	return p.woken
}

// clear empties the list.
func (p *parking) clear() {
	p.mu.Lock()
	p.conns = nil
	p.mu.Unlock()
}

// count is how many connections wait.
func (p *parking) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

func (p *parking) each(fn func(*netpoll.Conn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		fn(c)
	}
}

// fullLogEvery is the least time between two lines about producers that wait for room in the WAL.
const fullLogEvery = 10 * time.Second

// noteFull tells the operator that producers wait, and for what: for uploads when the device is full, which is worth a warning; for memory that
// is about to be taken from records that are on the device, which is the daily life of a log cache smaller than what is not uploaded.
func (b *Broker) noteFull() {
	now, last := time.Now().UnixNano(), b.fullLog.Load()
	if last != 0 && now-last < int64(fullLogEvery) {
		return
	}
	st := b.wal.Stats()
	level, text := slog.LevelWarn, "write-ahead log is full: producers wait for uploads to make room"
	if st.Capacity-st.Used > max(st.Capacity/32, 2<<20) {
		level, text = slog.LevelDebug, "producers wait for memory of the write-ahead log, or for a new log file to be written"
	}
	if !b.log.Enabled(b.ctx, level) || !b.fullLog.CompareAndSwap(last, now) {
		return
	}
	b.log.Log(b.ctx, level, text, "wal_bytes", st.Capacity, "wal_used", st.Used, "memory_bytes", st.MemoryBudget, "memory_used", st.MemoryUsed,
		"pending_bytes", b.storage.Stats().PendingBytes, "waits_so_far", b.metrics.walFull.Load())
}

// startBackground starts the broker's periodic work.
func (b *Broker) startBackground() {
	b.background.Go(func() { b.every(b.cfg.Retention.CheckInterval, b.applyRetention) })
	b.background.Go(b.reportLoad)
	b.background.Go(func() { b.hosts.run(b.ctx) })
	if b.cfg.Cleaner(b.dynamicConfig()).Enable {
		b.background.Go(b.cleaner.run)
	}
	b.background.Go(func() { b.every(b.cfg.Producer.TransactionAbortTimedOutInterval, b.txns.AbortTimedOut) })
	b.background.Go(func() { b.every(b.cfg.Producer.TransactionalIDCleanupInterval, b.txns.Expire) })
	b.background.Go(func() { b.every(b.cfg.Share.PruneInterval, b.pruneShareState) })
}

// every runs fn once per interval until the broker closes.
func (b *Broker) every(interval time.Duration, fn func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-ticker.C:
			fn()
		}
	}
}

// retentionTimeout bounds the metadata change of one partition.
const retentionTimeout = 30 * time.Second

// applyRetention trims every partition to its topic's retention.ms and retention.bytes.
func (b *Broker) applyRetention() {
	b.eachOpen(func(p *partition.Partition) {
		ctx, cancel := context.WithTimeout(b.ctx, retentionTimeout)
		defer cancel()
		before := p.LogStart()
		after, err := p.ApplyRetention(ctx)
		switch {
		case err != nil && b.ctx.Err() == nil:
			b.log.Error("retention not applied", "topic", p.Topic, "partition", p.Index, "cause", err)
		case after > before:
			b.log.Info("retention moved the log start", "topic", p.Topic, "partition", p.Index, "from", before, "to", after)
		}
	})
}
