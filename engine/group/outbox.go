package group

// outbox takes the records of a shard to its log in the order of the changes that made them, without holding the lock
// while it encodes and appends, and brings the outcomes back in the same order: whoever finds the outbox idle drains it.
// Changes that come up meanwhile share a batch. The queue has no bound of its own: every entry but a few (timers) belongs
// to a request that waits for its answer, and those are bounded by the connections' budgets. Guarded by shard.mu.
type outbox struct {
	queue    []*op // not yet given to the log, or not all of it
	flushing bool  // a goroutine is in flush
	inflight []*batch
}

// op is one change's records: acknowledged together, split only when they do not fit a batch.
type op struct {
	records []Record // still to be appended
	txn     *txnID   // nil unless the records are part of a transaction
	batches int      // being appended and not completed
	err     error    // first failure
	// done runs in a turn, once all records are durable or one of them failed, in the order of the ops. The shard may be
	// closed by then: done must then change no group and append nothing.
	done func(t *turn, err error)
}

// batch is one append.
type batch struct {
	records []Record
	ops     []*op // each has records in the batch
	txn     *txnID
	ended   bool
	err     error
}

// shareBytes is up to where records of different changes are put in one batch: enough to make the batch header small
// beside them, little enough that changes do not fail for one another's size.
const shareBytes = 64 << 10

// recordOverhead is the most that a record needs in a batch beside key and value: five varints and the attributes.
const recordOverhead = 32

func (r Record) size() int { return len(r.Key) + len(r.Value) + recordOverhead }

// append queues the records of a change. REQUIRES: the shard is active, records is not empty.
func (t *turn) append(records []Record, done func(t *turn, err error)) {
	t.appendTxn(records, nil, done)
}

// appendTxn is append of records that are part of a transaction, if txn is not nil. They have batches of their own.
func (t *turn) appendTxn(records []Record, txn *txnID, done func(t *turn, err error)) {
	if t.s.state != shardActive {
		panic("BUG: group: append on a shard that does not serve")
	}
	t.s.out.queue = append(t.s.out.queue, &op{records: records, txn: txn, done: done})
}

// flush appends what is queued until nothing is.
func (s *shard) flush() {
	s.mu.Lock()
	if s.out.flushing {
		s.mu.Unlock()
		return
	}
	s.out.flushing = true
	for len(s.out.queue) > 0 {
		b := s.out.next(s.opts.MaxBatchBytes)
		s.mu.Unlock()
		s.give(b)
		s.mu.Lock()
	}
	s.out.queue = nil
	s.out.flushing = false
	s.mu.Unlock()
}

// give encodes a batch and hands it to the log.
func (s *shard) give(b *batch) {
	done := func(err error) { s.ended(b, err) }
	records := b.records
	b.records = nil
	if b.txn != nil {
		s.log.AppendTxn(s.opts.EncodeTxnBatch(records, b.txn.producer, b.txn.epoch), b.txn.verified, b.txn.added, done)
		return
	}
	s.log.Append(s.opts.EncodeBatch(records), done)
}

// next takes a batch off the queue: as many whole ops as fit shareBytes, or the first op alone, up to maxBytes of it.
func (o *outbox) next(maxBytes int) *batch {
	b := &batch{}
	size := 0
	for len(o.queue) > 0 {
		first := o.queue[0]
		n, opSize := 0, 0
		for n < len(first.records) && (n == 0 || opSize+first.records[n].size() <= maxBytes) {
			opSize += first.records[n].size()
			n++
		}
		whole := n == len(first.records)
		if len(b.ops) > 0 && (b.txn != nil || first.txn != nil || !whole || size+opSize > min(shareBytes, maxBytes)) {
			break
		}
		b.records = append(b.records, first.records[:n]...)
		b.ops, b.txn = append(b.ops, first), first.txn
		size += opSize
		first.batches++
		first.records = first.records[n:]
		if !whole {
			break
		}
		first.records = nil
		o.queue[0] = nil
		o.queue = o.queue[1:]
	}
	o.inflight = append(o.inflight, b)
	return b
}

// ended takes the outcome of a batch. Outcomes that overtake an earlier batch wait for it.
func (s *shard) ended(b *batch, err error) {
	s.run(func(t *turn) {
		if b.ended {
			panic("BUG: group: Log.Append called done twice")
		}
		b.ended, b.err = true, err
		in := s.out.inflight
		for len(in) > 0 && in[0].ended {
			for _, o := range in[0].ops {
				if in[0].err != nil && o.err == nil {
					o.err = in[0].err
				}
				o.batches--
				if o.batches == 0 && (len(o.records) == 0 || s.state == shardClosed) {
					o.done(t, o.err)
				}
			}
			in[0] = nil
			in = in[1:]
			s.out.inflight = in // done may look at it
		}
		if len(in) == 0 {
			s.out.inflight = nil
		}
	})
}
