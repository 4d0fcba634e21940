package netpoll

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// split is the naive model of framing: the whole frames at the start of stream, and whether a bad size follows them.
func split(stream []byte, limit int) (frames [][]byte, bad bool) {
	for len(stream) >= 4 {
		n := int64(int32(binary.BigEndian.Uint32(stream)))
		if n <= 0 || n > int64(limit) {
			return frames, true
		}
		if int64(len(stream)-4) < n {
			return frames, false
		}
		frames = append(frames, stream[4:4+n])
		stream = stream[4+n:]
	}
	return frames, false
}

// feedInPieces gives stream to a connection without a socket, cut by the bytes of cuts, and returns what was delivered.
// A frame whose first byte is odd is held once before it is consumed.
func feedInPieces(t *testing.T, stream, cuts []byte, limit int, budget int64) (frames [][]byte, ended error) {
	var held bool
	h := handlerFuncs{frame: func(c *Conn, frame []byte) Verdict {
		if frame[0]&1 == 1 && !held {
			held = true
			return Hold
		}
		held = false
		frames = append(frames, bytes.Clone(frame))
		clear(frame) // the handler may modify what it got
		return Next
	}}
	o := Options{Handler: h, Endpoints: make([]Endpoint, 1), MaxFrameBytes: limit, InboundBytes: budget,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}.withDefaults()
	s := newServer(o)
	c := s.newConn(&endpoint{}, netip.AddrPort{}, netip.AddrPort{})
	c.poller = &writePoller{conns: map[uint64]*Conn{}}
	scratch := make([]byte, len(stream))
	resume := func() {
		for (c.in.held || c.in.again) && !c.ended() {
			c.Resume()
			c.turn(nil, nil)
		}
	}
	for i := 0; len(stream) > 0 && !c.ended(); i++ {
		n := len(stream)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		data := scratch[:copy(scratch, stream[:n])]
		stream = stream[n:]
		c.turn(nil, data)
		for j := range data {
			data[j] = 0xCC // the read buffer is reused
		}
		if i%3 == 0 { // else more arrives while held
			resume()
		}
	}
	resume()
	ended = c.endErr
	c.finish()
	if used, _, _ := s.inbound.usage(); used != 0 || s.inBytes.Load() != 0 {
		t.Fatalf("released connection still accounts for %d charged and %d buffered bytes", used, s.inBytes.Load())
	}
	return frames, ended
}

func checkFraming(t *testing.T, stream, cuts []byte, limit int) {
	t.Helper()
	want, bad := split(stream, limit)
	got, err := feedInPieces(t, stream, cuts, limit, 1<<30)
	if bad != errors.Is(err, ErrFrameSize) {
		t.Fatalf("ended with %v, want bad frame: %v", err, bad)
	}
	if len(got) != len(want) {
		t.Fatalf("%d frames delivered, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("frame %d is %.40x (%d bytes), want %.40x (%d bytes)", i, got[i], len(got[i]), want[i], len(want[i]))
		}
	}
}

// FuzzFraming: however the stream is cut into reads, and whichever frames are held, the frames are those of the naive model.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01a\x00\x00\x00\x02bc"), []byte{0})
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00"), []byte{3, 1})
	f.Add([]byte("\xff\xff\xff\xff"), []byte{2})
	f.Add([]byte("\x00\x00\x00\x05a"), []byte{})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{9})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) { checkFraming(t, stream, cuts, 1<<10) })
}

// TestFramingLarge does the same with frames of all the sizes at which a buffer changes its nature.
func TestFramingLarge(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	for _, n := range []int{1, 500, 513, 8 << 10, 100 << 10, maxPooled - 4, maxPooled - 3, maxPooled + 100, 9 << 20, 3, 70 << 10} {
		frame := make([]byte, n)
		for i := range frame {
			frame[i] = byte(rng.Uint32())
		}
		stream = append(stream, frameOf(frame)...)
	}
	for _, cuts := range [][]byte{nil, {255}, {255, 7, 0}} {
		checkFraming(t, stream, cuts, 16<<20)
	}
}

// TestHeldFlood: an event loop cannot stop reading a held connection until it is moved. If that is never possible, what
// piles up is bounded by the budget and its quarter of overshoot, and the connection ends with ErrMemory.
func TestHeldFlood(t *testing.T) {
	const limit = 64 << 10
	o := Options{Handler: handlerFuncs{frame: func(*Conn, []byte) Verdict { return Hold }}, Endpoints: make([]Endpoint, 1),
		InboundBytes: limit}.withDefaults()
	s := newServer(o)
	c := s.newConn(&endpoint{}, netip.AddrPort{}, netip.AddrPort{})
	c.poller = &writePoller{conns: map[uint64]*Conn{}}
	data := frameOf(make([]byte, 1000))
	for range 1000 {
		if c.turn(nil, data); c.ended() {
			break
		}
	}
	if !errors.Is(c.endErr, ErrMemory) || !c.moveWanted {
		t.Fatalf("ended with %v, move wanted: %v", c.endErr, c.moveWanted)
	}
	if _, peak, _ := s.inbound.usage(); peak > limit+limit/4 || peak < limit/2 {
		t.Fatalf("peak %d, limit %d", peak, limit)
	}
	c.finish()
}
