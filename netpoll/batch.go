package netpoll

// Batch collects responses that one goroutine completes in a row, a group commit's for instance, so that each connection is written once for all
// of them and not once for each. The zero value is empty and ready for use; it belongs to one goroutine.
type Batch struct{ claimed []*outbound }

// SendIn is Send, but what it makes ready is written by b.Flush: soon, since no other goroutine writes to the connection before that. With a nil
// batch it is Send.
func (r *Response) SendIn(b *Batch) { r.finish(b) }

// Flush writes what SendIn left.
func (b *Batch) Flush() {
	for i, o := range b.claimed {
		b.claimed[i] = nil
		o.flush()
	}
	b.claimed = b.claimed[:0]
}
