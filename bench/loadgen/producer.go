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
	sent     int64
}

// phase is a time with one rate.
type phase struct {
	schedule measure.Schedule
	total    int64           // records of the schedule
	until    time.Time       // end of a phase without a schedule
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
		return at >= ph.total
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

// runRaw drives one phase over a connection and returns when everything of it is acknowledged.
func (p *producer) runRaw(ctx context.Context, c *wire.Conn, ph phase) error {
	l := link{make(chan struct{}, p.o.InFlight), make(chan request, p.o.InFlight), make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		err := p.receive(c, ph, l)
		if err != nil {
			close(l.failed)
		}
		done <- err
	}()
	err := p.send(ctx, c, ph, l)
	close(l.pending)
	c.SetReadDeadline(time.Now().Add(p.o.Drain))
	rerr := <-done
	c.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(rerr, os.ErrDeadlineExceeded):
		return fmt.Errorf("loadgen: producer %d: not everything was acknowledged %s after the last record was sent", p.id, p.o.Drain)
	case rerr != nil:
		return fmt.Errorf("loadgen: producer %d: %w", p.id, rerr)
	case err != nil:
		return fmt.Errorf("loadgen: producer %d: %w", p.id, err)
	}
	return nil
}

// send builds and sends batches: in an open phase of the records that are due, else full ones.
func (p *producer) send(ctx context.Context, c *wire.Conn, ph phase, l link) error {
	pace := measure.NewPacer()
	defer pace.Close()
	var b wire.Batch
	var frame []byte
	fit := int64(p.o.perBatch())
	for id, at := int32(0), int64(0); !ph.over(at); id++ {
		if ph.open {
			pace.Until(p.departure(ph, at, fit))
		}
		// The slot comes first and the batch after, so that the batch holds all that became due meanwhile.
		select {
		case l.slots <- struct{}{}:
		case <-l.failed:
			return nil // the receiver's error is the better one
		case <-ctx.Done():
			return ctx.Err()
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
		l.pending <- r
		if err := c.Send(frame); err != nil {
			return err
		}
		at += r.n
	}
	return nil
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
