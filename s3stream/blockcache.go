package s3stream

import (
	"context"
	"sync"

	"github.com/ringmq/ringmq/s3stream/object"
)

// walObject stands for the WAL device in a blockKey.
const walObject ObjectID = -1

// blockKey names a block: of an object by its number in the index, of the WAL by its position.
type blockKey struct {
	object ObjectID
	at     int64
}

// cachedBlock is a block in the cache, or on its way there. Its content does not change once done is closed; readers may keep using it after it
// has left the cache.
type cachedBlock struct {
	key    blockKey
	run    *blockRun
	ahead  bool // fetched before anybody asked, and nobody has asked yet; guarded by blockCache.mu
	done   chan struct{}
	err    error
	object object.Block // of an object
	device *deviceBlock // of the WAL
	states [][]byte     // checkpoints of an object

	prev, next *cachedBlock // in the list of use; nil while on its way
}

// blockRun is the memory that blocks of one request share.
type blockRun struct {
	bytes int64 // counted until the last of its blocks has left the cache
	live  int
}

// blockCache holds blocks that were read from objects or back from the WAL device, shared by all streams. A block is fetched once, however many ask for
// it. The bytes include those on their way; only what readers still hold after it has left the cache is beyond the bound.
type blockCache struct {
	storage  *Storage
	capacity int64

	mu struct {
		sync.Mutex
		blocks map[blockKey]*cachedBlock
		used   int64       // bytes of runs with live blocks
		list   cachedBlock // ring: next is the most recently used
	}
}

func newBlockCache(s *Storage, capacity int64) *blockCache {
	c := &blockCache{storage: s, capacity: capacity}
	c.mu.blocks = make(map[blockKey]*cachedBlock)
	c.mu.list.prev, c.mu.list.next = &c.mu.list, &c.mu.list
	return c
}

// get returns the block when it is in the cache or on its way.
func (c *blockCache) get(key blockKey) (*cachedBlock, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.mu.blocks[key]
	if b == nil {
		return nil, false
	}
	b.ahead = false
	if b.next != nil {
		c.unlinkLocked(b)
		c.frontLocked(b)
	}
	return b, true
}

// has reports whether the block is in the cache or on its way, without using it.
func (c *blockCache) has(key blockKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.blocks[key] != nil
}

// claim marks blocks as on their way: as many of n consecutive keys as are not in the cache, from the first one on. size(i) is the size of
// block i, 0 for one of the WAL. None when the first is there already.
func (c *blockCache) claim(first blockKey, n int, ahead bool, size func(i int) int64) []*cachedBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := &blockRun{}
	var out []*cachedBlock
	for i := range n {
		key := blockKey{first.object, first.at + int64(i)}
		if c.mu.blocks[key] != nil {
			break
		}
		b := &cachedBlock{key: key, run: run, ahead: ahead, done: make(chan struct{})}
		c.mu.blocks[key] = b
		run.bytes += size(i)
		run.live++
		out = append(out, b)
	}
	c.mu.used += run.bytes
	c.shrinkLocked()
	return out
}

// finish ends a claim: the blocks are filled in, or err says why not.
func (c *blockCache) finish(bs []*cachedBlock, err error) {
	c.mu.Lock()
	for _, b := range bs {
		b.err = err
		if err != nil {
			c.removeLocked(b)
		} else {
			if b.device != nil { // its size was not known before
				b.run.bytes = b.device.bytes()
				c.mu.used += b.run.bytes
			}
			c.frontLocked(b)
		}
	}
	c.shrinkLocked()
	c.mu.Unlock()
	for _, b := range bs {
		close(b.done)
	}
}

// wait returns the block's content once it is there.
func (b *cachedBlock) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shrinkLocked drops the least recently used blocks until the cache fits.
func (c *blockCache) shrinkLocked() {
	for c.mu.used > c.capacity {
		b := c.mu.list.prev
		if b == &c.mu.list {
			return // everything is on its way
		}
		c.removeLocked(b)
	}
}

func (c *blockCache) removeLocked(b *cachedBlock) {
	if b.next != nil {
		c.unlinkLocked(b)
	}
	if c.mu.blocks[b.key] == b {
		delete(c.mu.blocks, b.key)
	}
	if b.run.live--; b.run.live == 0 {
		c.mu.used -= b.run.bytes
	}
}

func (c *blockCache) unlinkLocked(b *cachedBlock) {
	b.prev.next, b.next.prev = b.next, b.prev
	b.prev, b.next = nil, nil
}

func (c *blockCache) frontLocked(b *cachedBlock) {
	l := &c.mu.list
	b.prev, b.next = l, l.next
	b.prev.next, b.next.prev = b, b
}

func (c *blockCache) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.used
}
