package kraft

import "sync"

// bell tells any number of goroutines that something has changed.
type bell struct {
	mu sync.Mutex
	ch chan struct{} // closed at the next ring, nil when nobody listens
}

// heard returns a channel that is closed when the bell is rung the next time.
func (b *bell) heard() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
