package s3stream

import (
	"context"
	"slices"
	"sync"
)

// claims are the objects in whose place others are being written. Merges and rewrites go on side by side, however large an object is, as long as they work on
// different ones. Claims only spare work: what is committed is judged by the metadata.
type claims struct {
	mu    sync.Mutex
	taken map[ObjectID]bool
	freed chan struct{} // closed when some are given back; nil: nobody waits
}

// try claims all of the objects, or none: then the channel is closed when it is worth trying again.
func (c *claims) try(objects []ObjectInfo) (busy <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range objects {
		if c.taken[o.ID] {
			if c.freed == nil {
				c.freed = make(chan struct{})
			}
			return c.freed
		}
	}
	if c.taken == nil {
		c.taken = make(map[ObjectID]bool)
	}
	for _, o := range objects {
		c.taken[o.ID] = true
	}
	return nil
}

func (c *claims) release(objects []ObjectInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range objects {
		delete(c.taken, o.ID)
	}
	if c.freed != nil {
		close(c.freed)
		c.freed = nil
	}
}

// claim claims what pick picks, and returns it, to be released; nothing when pick does not pick anything. Picking is repeated under the claim: before
// it the objects may have become others. wait: as long as another has some of them; else it picks nothing then.
func (c *claims) claim(ctx context.Context, wait bool, pick func() []ObjectInfo) ([]ObjectInfo, error) {
	for {
		picked := pick()
		if len(picked) == 0 {
			return nil, nil
		}
		busy := c.try(picked)
		switch {
		case busy == nil:
			again := pick()
			if slices.EqualFunc(picked, again, func(a, b ObjectInfo) bool { return a.ID == b.ID }) {
				return again, nil
			}
			c.release(picked)
			continue
		case !wait:
			return nil, nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
