package loadgen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ringmq/ringmq/bench/measure"
	"github.com/ringmq/ringmq/bench/wire"
)

// producer is one producing client. Its schedule numbers the records of one phase.
type producer struct {
	o        Options
	id       uint32
	topic    string
	clock    measure.Clock
	pool     [][]byte
	sequence []uint64 // next, by partition
	turn     int      // partition of the next batch
	acked    *recorder
	late     *recorder
	unacked  *recorder // what was given up, with the latency that it had reached by then
	sent     int64
}

// phase is a time with one rate.
type phase struct {
	schedule measure.Schedule
	total    int64           // records of the schedule
	until    time.Time       // end of a phase without a schedule
	giveUp   time.Time       // what is not acknowledged then is given up
	open     bool            // has a schedule
	cut      <-chan struct{} // closed to end the phase early; may be nil
}

// over reports whether nothing is to be sent any more when at records of the schedule are.
func (ph phase) over(at int64) bool {
	select {
	case <-ph.cut:
		return true
	default:
	}
	if ph.open {
		return at >= ph.total || !time.Now().Before(ph.giveUp)
	}
	return !time.Now().Before(ph.until)
}

// next makes the value of a record for a partition.
func (p *producer) next(partition int, due time.Time) []byte {
	value := p.pool[p.sent%int64(len(p.pool))]
	stamp{p.id, p.sequence[partition], p.clock.Nanos(due)}.put(value)
	p.sequence[partition]++
	p.sent++
	return value
}

// request is a batch under way.
type request struct {
	id    int32
	first int64     // number of its first record in the schedule
	n     int64     // records
	built time.Time // without a schedule: when it was due
}

// link joins the two halves of a raw producer.
type link struct {
	slots   chan struct{} // one per request that may still be sent
	pending chan request  // under way, in order
	failed  chan struct{} // closed when the receiver gave up
}

// runRaw drives one phase over a connection and returns when everything of it is acknowledged. What is not when the phase is given up
// counts with the latency that it has reached: a server that collapses shall not look better for it. The connection cannot be used then.
func (p *producer) runRaw(ctx context.Context, c *wire.Conn, ph phase) error {
	l := link{make(chan struct{}, p.o.InFlight), make(chan request, p.o.InFlight), make(chan struct{})}
	c.SetDeadline(ph.giveUp)
	defer c.SetDeadline(time.Time{})
	done := make(chan error, 1)
	go func() {
		err := p.receive(c, ph, l)
		if err != nil {
			close(l.failed)
		}
		done <- err
	}()
	sent, err := p.send(ctx, c, ph, l)
	close(l.pending)
	if rerr := <-done; rerr != nil {
		err = rerr // what the sender saw is a consequence
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("loadgen: producer %d: %w", p.id, err)
	}
	now := time.Now()
	for r := range l.pending { // closed: what the receiver left
		p.abandon(ph, r, now)
	}
	if ph.open && !time.Now().Before(ph.giveUp) {
		p.unacked.records(ph.schedule, sent, ph.total-sent, now)
	}
	return nil
}

// abandon counts a request that is not waited for any longer.
func (p *producer) abandon(ph phase, r request, now time.Time) {
	if ph.open {
		p.unacked.records(ph.schedule, r.first, r.n, now)
	} else {
		p.unacked.batch(r.built, now, int(r.n))
	}
}

// send builds and sends batches: in an open phase of the records that are due, else full ones. It returns how many records it took from
// the schedule.
func (p *producer) send(ctx context.Context, c *wire.Conn, ph phase, l link) (at int64, err error) {
	pace := measure.NewPacer()
	defer pace.Close()
	var b wire.Batch
	var frame []byte
	fit := int64(p.o.perBatch())
	for id := int32(0); !ph.over(at); id++ {
		if ph.open {
			pace.Until(p.departure(ph, at, fit))
		}
		// The slot comes first and the batch after, so that the batch holds all that became due meanwhile.
		select {
		case l.slots <- struct{}{}:
		case <-l.failed:
			return at, nil // the receiver's error is the better one
		case <-ctx.Done():
			return at, ctx.Err()
		}
		r := request{id: id, first: at, n: fit, built: time.Now()}
		if ph.open {
			r.n = min(ph.schedule.Due(r.built), at+fit, ph.total) - at
			p.late.batch(ph.schedule.At(at+r.n-1), r.built, 1)
		}
		partition := p.turn
		p.turn = (p.turn + 1) % p.o.Partitions
		b.Reset(r.built)
		for i := range r.n {
			due := r.built
			if ph.open {
				due = ph.schedule.At(at + i)
			}
			b.Add(p.next(partition, due))
		}
		frame = wire.ProduceFrame(frame[:0], "load", p.topic, int32(partition), int16(p.o.Acks), b.Bytes())
		wire.SetCorrelation(frame, id)
		at += r.n
		l.pending <- r
		if err := c.Send(frame); err != nil {
			return at, err
		}
	}
	return at, nil
}

// departure is when the batch that begins with record at of the schedule goes: when it is full, or linger after its first record was due.
func (p *producer) departure(ph phase, at, fit int64) time.Time {
	full, lingered := ph.schedule.At(min(at+fit, ph.total)-1), ph.schedule.At(at).Add(p.o.Linger)
	if lingered.Before(full) {
		return lingered
	}
	return full
}

// receive reads acknowledgements until pending is closed and empty.
func (p *producer) receive(c *wire.Conn, ph phase, l link) error {
	for r := range l.pending {
		if err := c.ReceiveProduced(r.id); err != nil {
			p.abandon(ph, r, time.Now())
			return err
		}
		now := time.Now()
		if ph.open {
			p.acked.records(ph.schedule, r.first, r.n, now)
		} else {
			p.acked.batch(r.built, now, int(r.n))
		}
		<-l.slots
	}
	return nil
}
