package s3test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
)

// Op names a method of objstore.Bucket.
type Op string

// The operations of a bucket.
const (
	OpPut            Op = "Put"
	OpCreate         Op = "Create"
	OpGetRange       Op = "GetRange"
	OpHead           Op = "Head"
	OpDelete         Op = "Delete"
	OpList           Op = "List"
	OpCreateUpload   Op = "CreateUpload"
	OpUploadPart     Op = "UploadPart"
	OpCopyPart       Op = "CopyPart"
	OpCompleteUpload Op = "CompleteUpload"
	OpAbortUpload    Op = "AbortUpload"
	OpListUploads    Op = "ListUploads"
)

// ErrInjected is in every error that Faults makes.
var ErrInjected = errors.New("s3test: injected fault")

// Rates are probabilities from 0 to 1, tried in this order, at most one of them for a call.
type Rates struct {
	Before   float64 // the call fails with ErrUnreachable and nothing happens
	After    float64 // the call takes effect, and then fails with ErrUnreachable: its answer was lost
	SlowDown float64 // the call fails with ErrSlowDown and nothing happens
	Partial  float64 // GetRange fills a part of dst and fails; Delete removes some of the keys and fails; others as Before
}

// Faults is a Bucket around another one that fails as object stores fail, counts, and can be held up. The same seed and the same order of calls give
// the same faults. Methods of objstore.Bucket may be called from any goroutine, and so may the others.
type Faults struct {
	b objstore.Bucket

	mu struct {
		sync.Mutex
		rng     *rand.Rand
		rates   Rates
		perOp   map[Op]Rates
		delay   func(Op) time.Duration
		hooks   map[Op]func(key string) error
		blocked map[Op]chan struct{} // closed by Release
		counts  map[Op]int
		sent    int64
		fetched int64
		faults  int
	}
}

// NewFaults wraps b. It injects nothing until told.
func NewFaults(b objstore.Bucket, seed uint64) *Faults {
	f := &Faults{b: b}
	f.mu.rng = rand.New(rand.NewPCG(seed, 0x5eed))
	f.mu.perOp = make(map[Op]Rates)
	f.mu.hooks = make(map[Op]func(string) error)
	f.mu.blocked = make(map[Op]chan struct{})
	f.mu.counts = make(map[Op]int)
	return f
}

// SetRates sets the rates of all operations that have none of their own.
func (f *Faults) SetRates(r Rates) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.rates = r
}

// SetOpRates sets the rates of one operation.
func (f *Faults) SetOpRates(op Op, r Rates) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.perOp[op] = r
}

// SetDelay makes every call wait for what d returns, or until its context ends. nil ends that. Inside testing/synctest the wait takes no time.
func (f *Faults) SetDelay(d func(Op) time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.delay = d
}

// SetHook has h called before every call of op; an error from it is the call's. nil ends that. key is empty for Delete.
func (f *Faults) SetHook(op Op, h func(key string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hooks[op] = h
}

// Block holds up all calls of op until Release, or until their context ends.
func (f *Faults) Block(op Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.blocked[op] == nil {
		f.mu.blocked[op] = make(chan struct{})
	}
}

// Release ends Block.
func (f *Faults) Release(op Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.mu.blocked[op]; c != nil {
		close(c)
		delete(f.mu.blocked, op)
	}
}

// Counts is what has been asked of a bucket so far.
type Counts struct {
	Calls   map[Op]int // failed ones included
	Sent    int64      // bytes of Put, Create and UploadPart
	Fetched int64      // bytes of GetRange
	Faults  int        // injected
}

// Puts is the number of requests that object stores bill as writes.
func (c Counts) Puts() int {
	return c.Calls[OpPut] + c.Calls[OpCreate] + c.Calls[OpCreateUpload] + c.Calls[OpUploadPart] + c.Calls[OpCopyPart] + c.Calls[OpCompleteUpload] +
		c.Calls[OpList] + c.Calls[OpListUploads]
}

// Counts returns a copy of the counters.
func (f *Faults) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Counts{Calls: make(map[Op]int), Sent: f.mu.sent, Fetched: f.mu.fetched, Faults: f.mu.faults}
	for op, n := range f.mu.counts {
		c.Calls[op] = n
	}
	return c
}

// ResetCounts sets the counters to 0.
func (f *Faults) ResetCounts() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.mu.counts)
	f.mu.sent, f.mu.fetched, f.mu.faults = 0, 0, 0
}

// fault is what happens to one call.
type fault int

const (
	none fault = iota
	before
	after
	slowDown
	partial
)

func (x fault) err(op Op, key string) error {
	switch x {
	case before:
		return fmt.Errorf("%w: %w: %s %s was not done", objstore.ErrUnreachable, ErrInjected, op, key)
	case after:
		return fmt.Errorf("%w: %w: %s %s was done, its answer lost", objstore.ErrUnreachable, ErrInjected, op, key)
	case slowDown:
		return fmt.Errorf("%w: %w: %s %s", objstore.ErrSlowDown, ErrInjected, op, key)
	case partial:
		return fmt.Errorf("%w: %w: %s %s was done in part", objstore.ErrUnreachable, ErrInjected, op, key)
	}
	return nil
}

// draw counts a call, waits as told, and says what shall happen to it. cut is a random number in [0, 1) for a partial effect.
func (f *Faults) draw(ctx context.Context, op Op, key string) (x fault, cut float64, err error) {
	f.mu.Lock()
	f.mu.counts[op]++
	rates, ok := f.mu.perOp[op]
	if !ok {
		rates = f.mu.rates
	}
	p := f.mu.rng.Float64()
	cut = f.mu.rng.Float64()
	for i, rate := range []float64{rates.Before, rates.After, rates.SlowDown, rates.Partial} {
		if p < rate {
			x = fault(i + 1)
			f.mu.faults++
			break
		}
		p -= rate
	}
	hook, blocked, delay := f.mu.hooks[op], f.mu.blocked[op], f.mu.delay
	f.mu.Unlock()

	if delay != nil {
		if d := delay(op); d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return none, 0, ctx.Err()
			}
		}
	}
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return none, 0, ctx.Err()
		}
	}
	if hook != nil {
		if err := hook(key); err != nil {
			return none, 0, err
		}
	}
	return x, cut, nil
}

// do runs a call that has no partial effect.
func (f *Faults) do(ctx context.Context, op Op, key string, call func() error) error {
	x, _, err := f.draw(ctx, op, key)
	if err != nil {
		return err
	}
	if x == partial {
		x = before
	}
	if x == none || x == after {
		if err := call(); err != nil {
			return err
		}
	}
	return x.err(op, key)
}

func (f *Faults) addBytes(sent, fetched int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.sent += sent
	f.mu.fetched += fetched
}

// Name implements objstore.Bucket.
func (f *Faults) Name() string { return f.b.Name() }

// Put implements objstore.Bucket.
func (f *Faults) Put(ctx context.Context, key string, data ...[]byte) error {
	f.addBytes(objstore.Size(data), 0)
	return f.do(ctx, OpPut, key, func() error { return f.b.Put(ctx, key, data...) })
}

// Create implements objstore.Bucket.
func (f *Faults) Create(ctx context.Context, key string, data ...[]byte) error {
	f.addBytes(objstore.Size(data), 0)
	return f.do(ctx, OpCreate, key, func() error { return f.b.Create(ctx, key, data...) })
}

// GetRange implements objstore.Bucket.
func (f *Faults) GetRange(ctx context.Context, key string, off int64, dst []byte) error {
	f.addBytes(0, int64(len(dst)))
	x, cut, err := f.draw(ctx, OpGetRange, key)
	if err != nil {
		return err
	}
	switch x {
	case before, slowDown:
		return x.err(OpGetRange, key)
	case partial:
		dst = dst[:int(cut*float64(len(dst)))]
	}
	if err := f.b.GetRange(ctx, key, off, dst); err != nil {
		return err
	}
	return x.err(OpGetRange, key)
}

// Head implements objstore.Bucket.
func (f *Faults) Head(ctx context.Context, key string) (info objstore.Info, err error) {
	err = f.do(ctx, OpHead, key, func() error { info, err = f.b.Head(ctx, key); return err })
	return info, err
}

// Delete implements objstore.Bucket.
func (f *Faults) Delete(ctx context.Context, keys ...string) error {
	x, cut, err := f.draw(ctx, OpDelete, "")
	if err != nil {
		return err
	}
	switch x {
	case before, slowDown:
		return x.err(OpDelete, "")
	case partial:
		keys = keys[:int(cut*float64(len(keys)))]
	}
	if err := f.b.Delete(ctx, keys...); err != nil {
		return err
	}
	return x.err(OpDelete, "")
}

// List implements objstore.Bucket.
func (f *Faults) List(ctx context.Context, prefix string, fn func(objstore.Info) error) error {
	return f.do(ctx, OpList, prefix, func() error { return f.b.List(ctx, prefix, fn) })
}

// CreateUpload implements objstore.Bucket.
func (f *Faults) CreateUpload(ctx context.Context, key string) (id string, err error) {
	err = f.do(ctx, OpCreateUpload, key, func() error { id, err = f.b.CreateUpload(ctx, key); return err })
	if err != nil {
		return "", err // also when the upload exists: its id was in the lost answer
	}
	return id, nil
}

// UploadPart implements objstore.Bucket.
func (f *Faults) UploadPart(ctx context.Context, key, uploadID string, number int, data ...[]byte) (p objstore.Part, err error) {
	f.addBytes(objstore.Size(data), 0)
	err = f.do(ctx, OpUploadPart, key, func() error { p, err = f.b.UploadPart(ctx, key, uploadID, number, data...); return err })
	return p, err
}

// CopyPart implements objstore.Bucket.
func (f *Faults) CopyPart(ctx context.Context, key, uploadID string, number int, src string, off, n int64) (p objstore.Part, err error) {
	err = f.do(ctx, OpCopyPart, key, func() error { p, err = f.b.CopyPart(ctx, key, uploadID, number, src, off, n); return err })
	return p, err
}

// CompleteUpload implements objstore.Bucket.
func (f *Faults) CompleteUpload(ctx context.Context, key, uploadID string, parts []objstore.Part) error {
	return f.do(ctx, OpCompleteUpload, key, func() error { return f.b.CompleteUpload(ctx, key, uploadID, parts) })
}

// AbortUpload implements objstore.Bucket.
func (f *Faults) AbortUpload(ctx context.Context, key, uploadID string) error {
	return f.do(ctx, OpAbortUpload, key, func() error { return f.b.AbortUpload(ctx, key, uploadID) })
}

// ListUploads implements objstore.Bucket.
func (f *Faults) ListUploads(ctx context.Context, prefix string, fn func(objstore.Upload) error) error {
	return f.do(ctx, OpListUploads, prefix, func() error { return f.b.ListUploads(ctx, prefix, fn) })
}
