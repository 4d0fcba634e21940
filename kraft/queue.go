package kraft

import "sync"

// queue hands items from any goroutine to one, in order. It has no bound of its own: raft's limits on uncommitted, in-flight and applying
// entries bound what is in it.
type queue[T any] struct {
	mu     sync.Mutex
	nempty sync.Cond
	items  []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.nempty.L = &q.mu
	return q
}

// push adds an item; after close it does nothing.
func (q *queue[T]) push(item T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.items = append(q.items, item)
	q.nempty.Signal()
}

// take waits for items and returns all of them; ok is false when the queue is closed, whatever it held. spare is reused for the next items.
func (q *queue[T]) take(spare []T) (items []T, ok bool) {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.nempty.Wait()
	}
	if q.closed {
		return nil, false
	}
	items, q.items = q.items, spare[:0]
	return items, true
}

// close wakes the taker for the last time.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nempty.Broadcast()
}
