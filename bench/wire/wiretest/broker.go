package wiretest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is a running broker.
type Broker struct {
	// StallAfter is the number of Produce requests after which none is answered any more; 0: never.
	StallAfter atomic.Int64
	// ErrorCode of every Produce answer.
	ErrorCode atomic.Int32
	// LoseEvery makes every n-th acknowledged batch invisible to consumers; 0: none.
	LoseEvery atomic.Int64
	// Delay of every Produce answer.
	Delay atomic.Int64 // time.Duration
	// Produced counts Produce requests.
	Produced atomic.Int64

	t    testing.TB
	l    net.Listener
	wg   sync.WaitGroup
	stop chan struct{}
	mu   struct {
		sync.Mutex
		conns map[net.Conn]bool
		logs  map[key]*log
	}
}

type key struct {
	topic     string
	partition int32
}

type log struct {
	next    int64
	batches [][]byte
	grown   chan struct{} // closed, and replaced, when the log grows
}

// Start starts a broker that ends with the test.
func Start(t testing.TB) *Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &Broker{t: t, l: l, stop: make(chan struct{})}
	b.mu.conns, b.mu.logs = map[net.Conn]bool{}, map[key]*log{}
	b.wg.Go(b.accept)
	t.Cleanup(b.close)
	return b
}

// Addr is its address.
func (b *Broker) Addr() string { return b.l.Addr().String() }

func (b *Broker) close() {
	close(b.stop)
	b.l.Close()
	b.mu.Lock()
	for c := range b.mu.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

func (b *Broker) accept() {
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.mu.conns[c] = true
		b.mu.Unlock()
		b.wg.Go(func() {
			defer c.Close()
			if err := b.serve(c); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				select {
				case <-b.stop:
				default:
					// Clients under test close connections in the middle of everything; only what we do not understand is a failure.
					if errors.Is(err, errUnknown) {
						b.t.Errorf("wiretest: %v", err)
					}
				}
			}
		})
	}
}

var errUnknown = errors.New("unknown request")

func (b *Broker) serve(c net.Conn) error {
	for {
		var head [4]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return err
		}
		apiKey, version, id := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:])), frame[4:8]
		req := kmsg.RequestForKey(apiKey)
		if req == nil {
			return fmt.Errorf("%w: key %d", errUnknown, apiKey)
		}
		req.SetVersion(version)
		body := frame[10+int(binary.BigEndian.Uint16(frame[8:])):]
		if req.IsFlexible() {
			body = body[1:]
		}
		if err := req.ReadFrom(body); err != nil {
			return fmt.Errorf("%w: key %d: %w", errUnknown, apiKey, err)
		}
		resp, err := b.answer(req)
		if err != nil || resp == nil {
			return err
		}
		resp.SetVersion(version)
		out := append([]byte{0, 0, 0, 0}, id...)
		if resp.IsFlexible() {
			out = append(out, 0)
		}
		out = resp.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
}

func (b *Broker) answer(req kmsg.Request) (kmsg.Response, error) {
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, t := range r.Topics {
			rt := kmsg.NewCreateTopicsResponseTopic()
			rt.Topic = t.Topic
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil
	case *kmsg.DeleteTopicsRequest:
		return r.ResponseKind(), nil
	case *kmsg.ListOffsetsRequest:
		return b.listOffsets(r), nil
	case *kmsg.ProduceRequest:
		return b.produce(r), nil
	case *kmsg.FetchRequest:
		return b.fetch(r), nil
	}
	return nil, fmt.Errorf("%w: %T", errUnknown, req)
}

func (b *Broker) log(topic string, partition int32) *log {
	k := key{topic, partition}
	if b.mu.logs[k] == nil {
		b.mu.logs[k] = &log{grown: make(chan struct{})}
	}
	return b.mu.logs[k]
}

func (b *Broker) listOffsets(r *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range r.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset = p.Partition, b.log(t.Topic, p.Partition).next
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// produce appends, and answers nil when it stalls until the end.
func (b *Broker) produce(r *kmsg.ProduceRequest) kmsg.Response {
	n := b.Produced.Add(1)
	if limit := b.StallAfter.Load(); limit > 0 && n > limit {
		<-b.stop
		return nil
	}
	if d := time.Duration(b.Delay.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-b.stop:
		}
	}
	resp := r.ResponseKind().(*kmsg.ProduceResponse)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range r.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, int16(b.ErrorCode.Load())
			if rp.ErrorCode == 0 {
				l := b.log(t.Topic, p.Partition)
				rp.BaseOffset = l.next
				batch := append([]byte(nil), p.Records...)
				binary.BigEndian.PutUint64(batch, uint64(l.next))
				l.next += int64(binary.BigEndian.Uint32(batch[57:]))
				if every := b.LoseEvery.Load(); every == 0 || n%every != 0 {
					l.batches = append(l.batches, batch)
				}
				close(l.grown)
				l.grown = make(chan struct{})
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// fetch returns all batches from the offset on, and waits for some when there are none.
func (b *Broker) fetch(r *kmsg.FetchRequest) kmsg.Response {
	deadline := time.After(time.Duration(r.MaxWaitMillis) * time.Millisecond)
	for {
		resp, grown := b.tryFetch(r)
		if grown == nil {
			return resp
		}
		select {
		case <-grown:
		case <-deadline:
			return resp
		case <-b.stop:
			return resp
		}
	}
}

// tryFetch also returns what to wait for when there is nothing yet: growth of the first partition asked for.
func (b *Broker) tryFetch(r *kmsg.FetchRequest) (kmsg.Response, <-chan struct{}) {
	resp := r.ResponseKind().(*kmsg.FetchResponse)
	b.mu.Lock()
	defer b.mu.Unlock()
	var grown <-chan struct{}
	some := false
	for _, t := range r.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			l := b.log(t.Topic, p.Partition)
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark = p.Partition, l.next
			for _, batch := range l.batches {
				base, last := int64(binary.BigEndian.Uint64(batch)), int64(binary.BigEndian.Uint32(batch[23:]))
				if base+last >= p.FetchOffset && len(rp.RecordBatches) < 1<<20 {
					rp.RecordBatches = append(rp.RecordBatches, batch...)
				}
			}
			some = some || len(rp.RecordBatches) > 0
			if grown == nil {
				grown = l.grown
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if some {
		grown = nil
	}
	return resp, grown
}
