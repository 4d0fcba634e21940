package s3stream

import (
	"context"
	"sync"

	"github.com/ringmq/ringmq/s3stream/object"
)

// indexCache holds the indexes of objects, the least recently used one leaves first. An index is fetched once, however many ask for it.
type indexCache struct {
	storage  *Storage
	capacity int64

	mu struct {
		sync.Mutex
		entries map[ObjectID]*indexEntry
		used    int64
		list    indexEntry // ring: next is the most recently used
	}
}

type indexEntry struct {
	id     ObjectID
	done   chan struct{}
	reader *object.Reader
	err    error
	bytes  int64

	prev, next *indexEntry // nil while on its way
}

func newIndexCache(s *Storage, capacity int64) *indexCache {
	c := &indexCache{storage: s, capacity: capacity}
	c.mu.entries = make(map[ObjectID]*indexEntry)
	c.mu.list.prev, c.mu.list.next = &c.mu.list, &c.mu.list
	return c
}

// get returns the reader of an object. It may wait for the object store; an error is not kept.
func (c *indexCache) get(ctx context.Context, o ObjectInfo) (*object.Reader, error) {
	for joined := false; ; joined = true {
		e, mine := c.entry(o)
		if e == nil {
			return nil, ErrClosed
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if e.err == nil || mine || joined {
			return e.reader, e.err
		}
		// It was somebody else's attempt, perhaps an old one: make one of our own.
	}
}

// entry returns the entry of an object; mine: it was not there and is being fetched now. nil: the storage is closed.
func (c *indexCache) entry(o ObjectInfo) (e *indexEntry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[o.ID]; e != nil {
		if e.next != nil {
			c.unlinkLocked(e)
			c.frontLocked(e)
		}
		return e, false
	}
	e = &indexEntry{id: o.ID, done: make(chan struct{})}
	c.mu.entries[o.ID] = e
	if !c.storage.spawn(func() { c.fetch(e, o) }) {
		delete(c.mu.entries, o.ID)
		return nil, false
	}
	return e, true
}

func (c *indexCache) fetch(e *indexEntry, o ObjectInfo) {
	ctx, cancel := context.WithTimeout(c.storage.ctx, fetchTimeout)
	defer cancel()
	e.reader, e.err = object.Open(ctx, c.storage.bucket, c.storage.key(o.ID), o.Size)
	c.put(e)
	close(e.done)
}

// put keeps what fetch has brought, unless it failed.
func (c *indexCache) put(e *indexEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.err != nil {
		if c.mu.entries[e.id] == e {
			delete(c.mu.entries, e.id)
		}
		return
	}
	if c.mu.entries[e.id] != e {
		return // dropped meanwhile
	}
	x := e.reader.Index()
	e.bytes = int64(len(x.Blocks))*64 + int64(len(x.Checkpoints))*32 + 512
	c.mu.used += e.bytes
	c.frontLocked(e)
	for c.mu.used > c.capacity && c.mu.list.prev != e {
		c.removeLocked(c.mu.list.prev)
	}
}

// drop forgets an index, because its object is gone.
func (c *indexCache) drop(id ObjectID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[id]; e != nil {
		if e.next != nil {
			c.removeLocked(e)
		} else {
			delete(c.mu.entries, id)
		}
	}
}

func (c *indexCache) removeLocked(e *indexEntry) {
	c.unlinkLocked(e)
	c.mu.used -= e.bytes
	delete(c.mu.entries, e.id)
}

func (c *indexCache) unlinkLocked(e *indexEntry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (c *indexCache) frontLocked(e *indexEntry) {
	l := &c.mu.list
	e.prev, e.next = l, l.next
	e.prev.next, e.next.prev = e, e
}
