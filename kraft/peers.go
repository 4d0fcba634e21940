package kraft

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// peers sends raft messages to the other members: one connection and one goroutine each. What cannot be sent is dropped, and raft is told.
type peers struct {
	node   *Node
	logger *slog.Logger

	mu struct {
		sync.Mutex
		to      map[uint64]*peer
		running bool
	}
	wg sync.WaitGroup
}

type peer struct {
	node  int32
	addr  atomic.Pointer[string]
	queue chan *pb.Message
	conn  atomic.Pointer[net.Conn] // nil while there is none; made by serve, ended by it or by hangUp
	ctx   context.Context          // ends when it is no member any more, or when all stop
	stop  context.CancelFunc
}

const (
	peerQueue     = 1024
	peerBatch     = 1 << 20
	peerRetryMin  = 20 * time.Millisecond
	peerRetryMax  = 250 * time.Millisecond
	peerWriteTime = 5 * time.Second
)

func newPeers(n *Node) *peers {
	p := &peers{node: n, logger: n.logger}
	p.mu.to = make(map[uint64]*peer)
	p.follow(n.book)
	return p
}

// follow makes the peers those of the book.
func (p *peers) follow(b *book) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addrs := b.page.Load().addrs
	for id, addr := range addrs {
		if id == p.node.opts.NodeID {
			continue
		}
		to := p.mu.to[raftID(id)]
		if to == nil {
			to = &peer{node: id, queue: make(chan *pb.Message, peerQueue)}
			to.ctx, to.stop = context.WithCancel(context.Background())
			to.addr.Store(&addr)
			p.mu.to[raftID(id)] = to
			if p.mu.running {
				p.start(to)
			}
		}
		to.addr.Store(&addr)
	}
	for id, to := range p.mu.to {
		if _, ok := addrs[to.node]; !ok {
			to.stop()
			delete(p.mu.to, id)
		}
	}
}

// run begins to send.
func (p *peers) run() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.running = true
	for _, to := range p.mu.to {
		p.start(to)
	}
}

// start serves a peer. REQUIRES: mu is held.
func (p *peers) start(to *peer) {
	p.wg.Go(func() { p.serve(p.node.core, raftID(to.node), to) })
}

// moved is told that a member says that it is at another address than the image says: it may have to say so to the leader first.
func (p *peers) moved(id int32, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to := p.mu.to[raftID(id)]; to != nil && addr != "" && *to.addr.Load() != addr {
		to.addr.Store(&addr)
	}
}

// send queues a message; it never blocks.
func (p *peers) send(m *pb.Message) {
	p.mu.Lock()
	peer := p.mu.to[m.GetTo()]
	p.mu.Unlock()
	if peer == nil {
		return
	}
	select {
	case peer.queue <- m:
	default: // the peer does not keep up or is away; serve reports it
	}
}

// hangUp ends the connections at once, by a reset: what waits to be sent on them may never be acknowledged, and a farewell would queue behind it.
func (p *peers) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, to := range p.mu.to {
		conn := to.conn.Swap(nil)
		if conn == nil {
			continue
		}
		inner := *conn
		if secure, ok := inner.(*tls.Conn); ok {
			inner = secure.NetConn()
		}
		if tcp, ok := inner.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // or the connection is closed the long way
		}
		_ = inner.Close()
	}
}

func (p *peers) serve(c *core, id uint64, peer *peer) {
	var conn net.Conn
	end := func() {
		if conn != nil {
			peer.conn.Store(nil)
			conn.Close()
			conn = nil
		}
	}
	defer end()
	retry := peerRetryMin
	for {
		var m *pb.Message
		select {
		case m = <-peer.queue:
		case <-peer.ctx.Done():
			return
		}
		batch := p.gather(peer, m)
		err := error(nil)
		if conn == nil {
			if conn, err = p.node.client.dialer.dial(peer.ctx, *peer.addr.Load()); err == nil {
				made := conn
				peer.conn.Store(&made)
			}
		}
		if err == nil {
			err = p.write(conn, peer, batch)
		}
		if err == nil {
			retry = peerRetryMin
			continue
		}
		if conn != nil {
			if why := p.node.client.dialer.lastWord(*peer.addr.Load(), conn); why != nil {
				err = why
			}
		}
		p.logger.Debug("kraft: peer is not reachable", "peer", peer.node, "address", *peer.addr.Load(), "cause", err)
		end()
		c.call(func() { c.rn.ReportUnreachable(id) })
		for _, m := range batch {
			if m.GetType() == pb.MsgSnap {
				c.call(func() { c.rn.ReportSnapshot(id, raft.SnapshotFailure) })
			}
		}
		select {
		case <-time.After(retry):
		case <-peer.ctx.Done():
			return
		}
		retry = min(2*retry, peerRetryMax)
	}
}

// gather takes what else waits, up to a bound of bytes.
func (p *peers) gather(peer *peer, first *pb.Message) []*pb.Message {
	batch := []*pb.Message{first}
	for size := proto.Size(first); size < peerBatch; {
		select {
		case m := <-peer.queue:
			batch = append(batch, m)
			size += proto.Size(m)
		default:
			return batch
		}
	}
	return batch
}

func (p *peers) write(conn net.Conn, peer *peer, batch []*pb.Message) error {
	n := p.node
	f := raftFrame{clusterID: n.opts.ClusterID, from: n.opts.NodeID, to: peer.node, fromDirectory: n.directory, addr: endpointAddr(n.endpoints[0])}
	if v, ok, _ := n.book.member(peer.node); ok {
		f.toDirectory = v.Directory
	}
	for _, m := range batch {
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		f.messages = append(f.messages, b)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(peerWriteTime)); err != nil {
		return err
	}
	_, err := conn.Write(appendFrame(nil, keyRaft, f.append(nil)))
	return err
}

func (p *peers) close() {
	p.mu.Lock()
	p.mu.running = false
	for id, to := range p.mu.to {
		to.stop()
		delete(p.mu.to, id)
	}
	p.mu.Unlock()
	p.wg.Wait()
}
