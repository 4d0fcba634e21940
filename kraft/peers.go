package kraft

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// peers sends raft messages to the other voters: one connection and one goroutine each. What cannot be sent is dropped, and raft is told.
type peers struct {
	clusterID string
	self      int32
	logger    *slog.Logger
	to        map[uint64]*peer
	stop      chan struct{}
	wg        sync.WaitGroup
}

type peer struct {
	node  int32
	addr  string
	queue chan *pb.Message
}

const (
	peerQueue     = 1024
	peerBatch     = 1 << 20
	peerRetryMin  = 20 * time.Millisecond
	peerRetryMax  = time.Second
	peerWriteTime = 5 * time.Second
)

func newPeers(o Options) *peers {
	p := &peers{clusterID: o.ClusterID, self: o.NodeID, logger: o.Logger, to: make(map[uint64]*peer), stop: make(chan struct{})}
	for id, addr := range o.Voters {
		if id != o.NodeID {
			p.to[raftID(id)] = &peer{node: id, addr: addr, queue: make(chan *pb.Message, peerQueue)}
		}
	}
	return p
}

func (p *peers) run(c *core) {
	for id, peer := range p.to {
		p.wg.Go(func() { p.serve(c, id, peer) })
	}
}

// send queues a message; it never blocks.
func (p *peers) send(m *pb.Message) {
	peer := p.to[m.GetTo()]
	if peer == nil {
		return
	}
	select {
	case peer.queue <- m:
	default: // the peer does not keep up or is away; serve reports it
	}
}

func (p *peers) serve(c *core, id uint64, peer *peer) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	retry := peerRetryMin
	for {
		var m *pb.Message
		select {
		case m = <-peer.queue:
		case <-p.stop:
			return
		}
		batch := p.gather(peer, m)
		err := error(nil)
		if conn == nil {
			conn, err = p.dial(peer.addr)
		}
		if err == nil {
			err = p.write(conn, peer, batch)
		}
		if err == nil {
			retry = peerRetryMin
			continue
		}
		p.logger.Debug("kraft: peer is not reachable", "peer", peer.node, "address", peer.addr, "error", err)
		if conn != nil {
			conn.Close()
			conn = nil
		}
		c.call(func() { c.rn.ReportUnreachable(id) })
		for _, m := range batch {
			if m.GetType() == pb.MsgSnap {
				c.call(func() { c.rn.ReportSnapshot(id, raft.SnapshotFailure) })
			}
		}
		select {
		case <-time.After(retry):
		case <-p.stop:
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

// dial connects, and gives up when the node stops.
func (p *peers) dial(addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Cancel: p.stop} //nolint:staticcheck // exactly what is wanted: a channel, not a context
	return d.Dial("tcp", addr)
}

func (p *peers) write(conn net.Conn, peer *peer, batch []*pb.Message) error {
	f := raftFrame{clusterID: p.clusterID, from: p.self, to: peer.node}
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
	close(p.stop)
	p.wg.Wait()
}
