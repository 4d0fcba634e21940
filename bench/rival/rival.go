package rival

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/bench/wire"
)

// What a large frame holds: a batch just below the size that brokers take by default (1,048,588 bytes) for each of some partitions. Together they stay
// below the default of socket.request.max.bytes, 104,857,600.
const (
	FramePartitions = 99
	batchBytes      = 1_040_000
)

// lastFrame bounds how long the frame that is under way at the end is waited for.
const lastFrame = 30 * time.Second

// Frames pushes large frames, at least one, into a topic of FramePartitions until the context ends; the one that is under way then is waited for. It returns
// how many bytes of values were acknowledged.
func Frames(ctx context.Context, address, topic string) (acked int64, err error) {
	c, err := wire.Dial(ctx, address, "rival-frames")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Now().Add(lastFrame)) })()
	var b wire.Batch
	b.Reset(time.Now())
	b.Add(make([]byte, batchBytes))
	frame := wire.ProduceFrameAll(nil, "rival-frames", topic, FramePartitions, -1, b.Bytes())
	for id := int32(0); ; id++ {
		wire.SetCorrelation(frame, id)
		err := c.Send(frame)
		if err == nil {
			err = c.ReceiveProducedAll(id, FramePartitions)
		}
		if err != nil {
			return acked, fmt.Errorf("rival: frame %d: %w", id, err)
		}
		if acked += FramePartitions * batchBytes; ctx.Err() != nil {
			return acked, nil
		}
	}
}

// Tiny pipelines requests for the server's versions, perWrite in each write, as fast as the server takes them, until the context ends. It returns how many
// were answered.
func Tiny(ctx context.Context, address string, perWrite int) (answered int64, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, fmt.Errorf("rival: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	req := kmsg.NewPtrApiVersionsRequest() // version 0: a header and nothing else
	one := kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)
	many := make([]byte, 0, perWrite*len(one))
	for range perWrite {
		many = append(many, one...)
	}
	// All answers are alike, so that their bytes say their number.
	if _, err := c.Write(one); err != nil {
		return 0, fmt.Errorf("rival: %w", err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, fmt.Errorf("rival: %w", err)
	}
	size := int64(binary.BigEndian.Uint32(head[:]))
	if _, err := io.CopyN(io.Discard, c, size); err != nil {
		return 0, fmt.Errorf("rival: %w", err)
	}
	sent := make(chan error, 1)
	go func() {
		for {
			if _, err := c.Write(many); err != nil {
				sent <- err
				c.Close() // the reader ends
				return
			}
		}
	}()
	buf := make([]byte, 1<<20)
	var read int64
	for err == nil {
		var n int
		n, err = c.Read(buf)
		read += int64(n)
	}
	if serr := <-sent; ctx.Err() == nil {
		return read / (size + 4), fmt.Errorf("rival: tiny requests: %w", errors.Join(serr, err))
	}
	return read / (size + 4), nil
}

// Stall opens connections that each ask for much of a topic that Frames has filled, several times, read the beginning of the first answer and then
// nothing, until the context ends. It returns how many of them got the beginning of an answer; that a server closes some of them is its right.
func Stall(ctx context.Context, address, topic string, conns, requests int) (answered int64, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, -1, 500, 1, 100<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	for p := range FramePartitions {
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.Partition, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch, fp.LogStartOffset = int32(p), 8<<20, -1, -1
		t.Partitions = append(t.Partitions, fp)
	}
	req.Topics = append(req.Topics, t)
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("rival-stall"))
	var frames []byte
	for i := range requests {
		frames = append(frames, f.AppendRequest(nil, req, int32(i))...)
	}
	var wg sync.WaitGroup
	var got atomic.Int64
	errs := make([]error, conns)
	for i := range conns {
		wg.Go(func() {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", address)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			if _, err := c.Write(frames); err != nil {
				errs[i] = err
				return
			}
			if _, errs[i] = io.ReadFull(c, make([]byte, 64<<10)); errs[i] == nil {
				got.Add(1)
				<-ctx.Done()
			}
		})
	}
	wg.Wait()
	if got.Load() == 0 {
		return 0, fmt.Errorf("rival: nobody got the beginning of a large answer: %w", errors.Join(errs...))
	}
	return got.Load(), nil
}
