package wal

import "sync"

// pwriteBackend writes with a pool of goroutines, one per write in flight, for kernels and containers without io_uring and for test
// devices. Its semantics are those of the ring.
type pwriteBackend struct {
	dev   Device
	lazy  volatileWriter // dev, by SyncFdatasync, else nil
	work  chan job
	woken chan struct{} // holds one: a completion or a wake-up came since the last wait
	wg    sync.WaitGroup

	mu struct {
		sync.Mutex
		landed []landing
	}
	taken []landing // of the commit goroutine, read up to at
	at    int
}

type job struct {
	id  uint64
	b   []byte // not of a flush
	off int64
}

type landing struct {
	id  uint64
	n   int
	err error
}

func newPWriteBackend(l *Log) *pwriteBackend {
	p := &pwriteBackend{dev: l.dev, work: make(chan job, flights+2), woken: make(chan struct{}, 1)}
	workers := l.opts.QueueDepth + 1 // one more for the superblock
	if l.sync.Method == SyncFdatasync {
		p.lazy = l.dev.(volatileWriter)
		workers++ // and one for the flush
	}
	for range workers {
		p.wg.Go(p.run)
	}
	return p
}

func (p *pwriteBackend) run() {
	for j := range p.work {
		n, err := p.do(j)
		p.mu.Lock()
		p.mu.landed = append(p.mu.landed, landing{j.id, n, err})
		p.mu.Unlock()
		p.wake(false)
	}
}

func (p *pwriteBackend) do(j job) (int, error) {
	switch {
	case j.id == flushID:
		return 0, p.dev.Flush()
	case p.lazy != nil && j.id != superID:
		return p.lazy.WriteVolatile(j.b, j.off)
	}
	return p.dev.WriteAt(j.b, j.off)
}

func (p *pwriteBackend) mode() Mode       { return ModePWrite }
func (p *pwriteBackend) registered() bool { return false }

func (p *pwriteBackend) write(id uint64, b []byte, off int64, _ *chunk) error {
	p.work <- job{id, b, off} // has room for all that can be in flight
	return nil
}

func (p *pwriteBackend) flush() error {
	p.work <- job{id: flushID}
	return nil
}

func (p *pwriteBackend) enter(wait bool) error {
	if wait && p.at == len(p.taken) {
		<-p.woken
	}
	return nil
}

func (p *pwriteBackend) next() (id uint64, n int, err error, ok bool) {
	if p.at == len(p.taken) {
		p.mu.Lock()
		p.taken, p.mu.landed = p.mu.landed, p.taken[:0]
		p.mu.Unlock()
		p.at = 0
		if len(p.taken) == 0 {
			return 0, 0, nil, false
		}
	}
	j := p.taken[p.at]
	p.at++
	return j.id, j.n, j.err, true
}

func (p *pwriteBackend) rest() { <-p.woken }

func (p *pwriteBackend) wake(bool) {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *pwriteBackend) forget(*chunk) bool { return true }

func (p *pwriteBackend) close() {
	close(p.work)
	p.wg.Wait()
}
