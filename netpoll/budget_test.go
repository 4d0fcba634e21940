package netpoll

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

// TestBudgetModel lets connections put frames together in random steps under a budget that is smaller than their sum. The bounds
// hold at every step, one connection at most is beyond the pool, waiting is first come first served, and all frames complete.
func TestBudgetModel(t *testing.T) {
	const limit, frames = 10000, 40
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := &budget{limit: limit}
		type peer struct {
			c             *Conn
			size, has, by int64 // by: the step that was asked for and not granted
		}
		var peers []*peer
		largest := int64(0)
		for range frames {
			p := &peer{c: &Conn{}, size: 1 + rng.Int64N(3*limit)}
			largest = max(largest, p.size)
			peers = append(peers, p)
		}
		var order []*Conn // of those that wait
		for steps := 0; len(peers) > 0; steps++ {
			if steps > 1000*frames {
				t.Fatalf("seed %d: %d frames do not complete", seed, len(peers))
			}
			i := rng.IntN(len(peers))
			p := peers[i]
			n := p.by
			if n == 0 {
				n = min(p.size-p.has, 1+rng.Int64N(limit/2))
			}
			was := p.c.account.waiting
			if b.request(p.c, n) {
				p.has, p.by = p.has+n, 0
			} else {
				p.by = n
				if !was {
					order = append(order, p.c)
				}
			}
			for len(order) > 0 && !order[0].account.waiting {
				order = order[1:]
			}
			for _, c := range order {
				if !c.account.waiting {
					t.Fatalf("seed %d: served out of turn", seed)
				}
			}
			if p.has == p.size {
				b.release(p.c)
				peers = append(peers[:i], peers[i+1:]...)
			}
			if b.mu.pool > limit || b.mu.lane > largest || b.mu.pool < 0 || b.mu.lane < 0 {
				t.Fatalf("seed %d: pool %d, lane %d", seed, b.mu.pool, b.mu.lane)
			}
		}
		if used, _, waiting := b.usage(); used != 0 || waiting != 0 || b.mu.owner != nil {
			t.Fatalf("seed %d: %d used, %d waiting in the end", seed, used, waiting)
		}
	}
}

// TestGoroutineFromTheStart: connections that gnet must not get are served all the same.
func TestGoroutineFromTheStart(t *testing.T) {
	s := serve(t, handlerFuncs{frame: echo}, nil)
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	tc, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	zone := netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), 1)
	c := s.newConn(s.endpoints[0], zone, zone)
	if err := s.admit(c); err != nil {
		t.Fatal(err)
	}
	c.poller = s.pollers[0]
	if err := s.enrollGoroutine(c, tc); err != nil {
		t.Fatal(err)
	}
	want := frameOf([]byte("zone"))
	got := make([]byte, len(want))
	nc.Write(want)
	if _, err := nc.Read(got); err != nil || string(got) != string(want) {
		t.Fatalf("got %q, %v", got, err)
	}
}
