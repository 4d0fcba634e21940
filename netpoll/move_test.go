package netpoll

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/tools/waittest"
)

// TestMoveAnywhere moves connections from their event loop to a goroutine at random moments of a stream of frames of all
// sizes, some held, answered by other goroutines: every frame is delivered once, in order, unharmed, and so are the answers.
func TestMoveAnywhere(t *testing.T) {
	var moves atomic.Int64
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 11))
		moveAt := rng.IntN(200)
		next, held := 0, -1 // owner goroutine
		h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
			i := int(binary.BigEndian.Uint32(frame))
			if i != next {
				t.Errorf("seed %d: frame %d delivered, want %d", seed, i, next)
				return Close
			}
			if i == moveAt && held != i {
				c.MoveToGoroutine()
			}
			if i%7 == 3 && held != i {
				held = i
				go c.Resume()
				return Hold
			}
			next++
			r := c.Begin()
			r.SetBuf(binary.BigEndian.AppendUint32(r.Buf(), crc32.ChecksumIEEE(frame)))
			if i%3 == 0 {
				r.Send()
			} else {
				go r.Send()
			}
			return Next
		}}
		s := serve(t, h, func(o *Options) { o.ReadBufferBytes = 16 << 10 })
		c := dial(t, s)
		var sums []uint32
		var stream []byte
		for i := range 200 {
			frame := make([]byte, 4+rng.IntN(1<<rng.IntN(17)))
			for j := range frame {
				frame[j] = byte(rng.Uint32())
			}
			binary.BigEndian.PutUint32(frame, uint32(i))
			sums = append(sums, crc32.ChecksumIEEE(frame))
			stream = append(stream, frameOf(frame)...)
		}
		go func() {
			rng := rand.New(rand.NewPCG(seed, 12))
			for len(stream) > 0 {
				n := min(len(stream), 1+rng.IntN(1<<rng.IntN(16)))
				if _, err := c.Write(stream[:n]); err != nil {
					t.Error(err)
					return
				}
				stream = stream[n:]
			}
		}()
		for i, want := range sums {
			if got := binary.BigEndian.Uint32(c.recv()); got != want {
				t.Fatalf("seed %d: answer %d is %08x, want %08x", seed, i, got, want)
			}
		}
		moves.Add(s.Stats().Goroutines)
	}
	if moves.Load() != 30 {
		t.Errorf("%d moves", moves.Load())
	}
}

// TestHeldConnectionMoves: what a peer sends while its connection is held piles up only to a bound; then the connection stops
// being read, and goes on where it was.
func TestHeldConnectionMoves(t *testing.T) {
	var hold atomic.Bool
	hold.Store(true)
	conn := make(chan *Conn, 1)
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		if hold.Load() {
			select {
			case conn <- c:
			default:
			}
			return Hold
		}
		r := c.Begin()
		r.Append(frame[:8])
		r.Send()
		return Next
	}}
	s := serve(t, h, nil)
	c := dial(t, s)
	const frames = 1000 // of 100 KB: far above what the sockets hold
	body := bytes.Repeat([]byte("b"), 100<<10)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range frames {
			copy(body, fmt.Sprintf("%08d", i))
			if _, err := c.Write(frameOf(body)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	held := <-conn
	waittest.Until(t, testTimeout, "the connection is moved", func() bool { return s.Stats().Goroutines == 1 })
	if st := s.Stats(); st.InboundBytes > 3<<20 {
		t.Errorf("%d bytes piled up", st.InboundBytes)
	}
	hold.Store(false)
	held.Resume()
	for i := range frames {
		c.expect(fmt.Sprintf("%08d", i))
	}
	wg.Wait()
	waittest.Until(t, testTimeout, "buffers are given back", func() bool { return s.Stats().InboundBytes == 0 })
}
