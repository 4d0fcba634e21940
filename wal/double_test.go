package wal

import (
	"sync/atomic"

	"github.com/ringmq/ringmq/wal/waltest"
)

// gated holds writes back while closed is set, until gate is closed.
type gated struct {
	*waltest.Disk
	closed  atomic.Bool
	gate    chan struct{}
	entered chan struct{} // one per write that waits
}

func (g *gated) WriteAt(p []byte, off int64) (int, error) {
	if g.closed.Load() {
		g.entered <- struct{}{}
		<-g.gate
	}
	return g.Disk.WriteAt(p, off)
}
