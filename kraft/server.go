package kraft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ringmq/ringmq/netpoll"
)

// listener serves the CONTROLLER endpoint: raft messages and private requests of other nodes, and Kafka's controller requests of tools.
type listener struct {
	n     *Node
	peers sync.Map // connection id → node id of the member that sends its raft messages on it
}

const (
	// connInFlight bounds the requests of one connection that are being served.
	connInFlight = 16
	// maxControllerConns bounds the connections of the CONTROLLER listener.
	maxControllerConns = 4096
	// snapshotPieceBytes is how much of a snapshot one answer carries.
	snapshotPieceBytes = 1 << 20
)

func (n *Node) listen() (*netpoll.Server, error) {
	return netpoll.Listen(netpoll.Options{
		Endpoints: []netpoll.Endpoint{n.opts.Listen}, Handler: &listener{n: n}, Logger: n.opts.Logger, Loops: 1,
		ReadBufferBytes: 64 << 10, MaxFrameBytes: maxFrameBytes, InboundBytes: 4 * maxFrameBytes, OutboundBytes: 4 * maxFrameBytes,
		MaxInFlight: connInFlight, Limits: netpoll.Limits{Max: maxControllerConns},
	})
}

// Opened implements netpoll.Handler.
func (l *listener) Opened(*netpoll.Conn) {}

// Closed implements netpoll.Handler.
func (l *listener) Closed(c *netpoll.Conn, _ error) {
	if node, ok := l.peers.LoadAndDelete(c.ID()); ok {
		l.n.core.leaderGone(node.(int32))
	}
}

// header is a Kafka request header.
type header struct {
	key, version int16
	correlation  int32
}

// Frame implements netpoll.Handler.
func (l *listener) Frame(c *netpoll.Conn, frame []byte) netpoll.Verdict {
	h, body, err := readHeader(frame)
	if err != nil {
		l.n.logger.Warn("kraft: bad request", "remote", c.RemoteAddr(), "cause", err)
		return netpoll.Close
	}
	if h.key == keyRaft {
		from, err := l.n.fromPeer(body)
		if err != nil {
			l.n.logger.Warn("kraft: raft messages refused", "remote", c.RemoteAddr(), "cause", err)
			return netpoll.Close
		}
		l.peers.LoadOrStore(c.ID(), from)
		return netpoll.Next
	}
	body = append([]byte(nil), body...) // the frame is valid until return only
	resp := c.Begin()
	go func() {
		out, err := l.n.serve(h, body)
		if err != nil {
			l.n.logger.Warn("kraft: request refused", "remote", c.RemoteAddr(), "key", h.key, "version", h.version, "cause", err)
			resp.Drop()
			c.Close(err)
			return
		}
		b := binary.BigEndian.AppendUint32(resp.Buf(), uint32(h.correlation))
		resp.SetBuf(append(b, out...))
		resp.Send()
	}()
	return netpoll.Next
}

// readHeader splits a frame. Flexible versions have tagged fields at the end of the header, which begin the body here.
func readHeader(frame []byte) (header, []byte, error) {
	if len(frame) < 10 {
		return header{}, nil, fmt.Errorf("kraft: request of %d bytes", len(frame))
	}
	h := header{
		key: int16(binary.BigEndian.Uint16(frame)), version: int16(binary.BigEndian.Uint16(frame[2:])),
		correlation: int32(binary.BigEndian.Uint32(frame[4:])),
	}
	n := int(int16(binary.BigEndian.Uint16(frame[8:])))
	rest := frame[10:]
	if n < -1 || n > len(rest) {
		return h, nil, fmt.Errorf("kraft: client id of %d bytes, %d are left", n, len(rest))
	}
	return h, rest[max(0, n):], nil
}

// serve answers one request; the result follows the correlation id. An error closes the connection.
func (n *Node) serve(h header, body []byte) ([]byte, error) {
	switch h.key {
	case keyEnvelope:
		return n.serveEnvelope(body)
	case keyFetchLog:
		return n.serveFetchLog(body)
	case keyFetchSnapshot:
		return n.serveFetchSnapshot(body)
	case keyHello:
		return n.serveHello(body)
	}
	if IsToolKey(h.key) {
		ctx, cancel := context.WithTimeout(n.ctx, n.opts.RequestTimeout)
		defer cancel()
		return n.ServeTool(ctx, h.key, body)
	}
	return n.serveKafka(h, body)
}

func (n *Node) checkCluster(clusterID string) error {
	if clusterID != n.opts.ClusterID {
		return refuse(CodeWrongCluster, "this is node %d of cluster %q, the request is of cluster %q", n.opts.NodeID, n.opts.ClusterID, clusterID)
	}
	return nil
}

// fromPeer takes the raft messages of a member, and returns which.
func (n *Node) fromPeer(body []byte) (from int32, err error) {
	var f raftFrame
	if err := f.read(body); err != nil {
		return 0, err
	}
	if err := n.checkCluster(f.clusterID); err != nil {
		return 0, err
	}
	if f.to != n.opts.NodeID || f.from == f.to {
		return 0, refuse(CodeInvalid, "raft messages from node %d to node %d reached node %d", f.from, f.to, n.opts.NodeID)
	}
	if _, ok := n.book.addr(f.from); !ok {
		n.book.heard(f.addr) // if this node is the one that is behind, it will learn it there
		return 0, refuse(CodeInvalid, "raft messages from node %d, which is no member of the quorum", f.from)
	}
	// Raft knows members by their ids. A member that has lost its disk does not know what it has promised, and must not pass for the one it was.
	none := [16]byte{}
	if v, ok, _ := n.book.member(f.from); ok && v.Directory != none && f.fromDirectory != none && v.Directory != f.fromDirectory {
		return 0, refuse(CodeInvalid, "raft messages from node %d with metadata directory %s, the member of the quorum has %s: after the loss of a disk, remove "+
			"the old voter and add the new one", f.from, uuidText(f.fromDirectory), uuidText(v.Directory))
	}
	if f.toDirectory != none && n.directory != none && f.toDirectory != n.directory {
		return 0, refuse(CodeInvalid, "raft messages for node %d with metadata directory %s, this one is %s", f.to, uuidText(f.toDirectory), uuidText(n.directory))
	}
	n.peers.moved(f.from, f.addr)
	for _, b := range f.messages {
		m := &pb.Message{}
		if err := proto.Unmarshal(b, m); err != nil {
			return 0, err
		}
		if m.Type == nil || m.GetFrom() != raftID(f.from) {
			return 0, refuse(CodeInvalid, "raft message of type %v from %d in a frame of node %d", m.GetType(), m.GetFrom(), f.from)
		}
		if m.GetType() == pb.MsgSnap {
			n.receiveSnapshot(m)
			continue
		}
		n.core.fromPeer(m)
	}
	return f.from, nil
}

func (n *Node) serveEnvelope(body []byte) ([]byte, error) {
	var m envelope
	if err := m.read(body); err != nil {
		return nil, err
	}
	out := reply{leader: n.leader()}
	fail := func(err error) ([]byte, error) {
		out.code, out.message = codeOf(err)
		return out.append(nil), nil
	}
	if err := n.checkCluster(m.clusterID); err != nil {
		return fail(err)
	}
	req := requestOf(m.key)
	if req == nil || m.version < 0 || m.version > req.MaxVersion() {
		return fail(refuse(CodeInvalid, "key %d version %d", m.key, m.version))
	}
	req.SetVersion(m.version)
	if err := req.ReadFrom(m.body); err != nil {
		return fail(refuse(CodeInvalid, "key %d: %v", m.key, err))
	}
	ctx, cancel := context.WithTimeout(n.ctx, time.Duration(min(max(m.timeoutMs, 1), time.Hour.Milliseconds()))*time.Millisecond)
	defer cancel()
	resp, offset, err := n.local(AskedBy(ctx, m.asker), req)
	if err != nil {
		return fail(err)
	}
	resp.SetVersion(m.version)
	out.offset, out.body = offset, resp.AppendTo(nil)
	return out.append(nil), nil
}

// serveKafka answers Kafka's own requests, of tools that were pointed at the controllers.
func (n *Node) serveKafka(h header, body []byte) ([]byte, error) {
	kinds := append([]kind{{key: 18, min: 0, max: 4}, {key: 60, min: 0, max: 2}}, controllerKinds...)
	var known *kind
	for i := range kinds {
		if kinds[i].key == h.key {
			known = &kinds[i]
		}
	}
	if known == nil {
		return nil, fmt.Errorf("kraft: requests of key %d are not served on this listener", h.key)
	}
	if h.version < known.min || h.version > known.max {
		if h.key == 18 {
			return apiVersions(0, kafkaUnsupportedVersion, kinds).AppendTo(nil), nil
		}
		return nil, fmt.Errorf("kraft: key %d has versions %d to %d, not %d", h.key, known.min, known.max, h.version)
	}
	req := kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	if req.IsFlexible() {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("kraft: key %d version %d: %w", h.key, h.version, err)
	}
	var resp kmsg.Response
	switch h.key {
	case 18:
		return apiVersions(h.version, 0, kinds).AppendTo(nil), nil // its response header has no tags in any version
	case 55: // not passed on: as in Kafka, a controller that does not lead says so, and the client goes to the one that does
		ctx, cancel := context.WithTimeout(n.ctx, n.opts.RequestTimeout)
		defer cancel()
		var err error
		if resp, err = n.describeQuorum(ctx, req.(*kmsg.DescribeQuorumRequest)); err != nil {
			resp = failedResponse(req, err)
		}
	case 60:
		resp = n.describeCluster(req.(*kmsg.DescribeClusterRequest))
	default:
		ctx, cancel := context.WithTimeout(n.ctx, n.opts.RequestTimeout)
		defer cancel()
		var err error
		if resp, err = n.Controller().Do(ctx, req); err != nil {
			if resp = failedResponse(req, err); resp == nil {
				return nil, err
			}
		}
	}
	resp.SetVersion(h.version)
	var out []byte
	if resp.IsFlexible() {
		out = append(out, 0)
	}
	return resp.AppendTo(out), nil
}

// skipTags skips the tagged fields at the end of a flexible request header.
func skipTags(b []byte) ([]byte, error) {
	bad := errors.New("kraft: truncated tagged fields in a request header")
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, bad
	}
	b = b[n:]
	for ; count > 0; count-- {
		_, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, bad
		}
		b = b[n:]
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, bad
		}
		b = b[n+int(size):]
	}
	return b, nil
}

func apiVersions(version, code int16, kinds []kind) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(version)
	resp.ErrorCode = code
	resp.ApiKeys = make([]kmsg.ApiVersionsResponseApiKey, 0, len(kinds))
	for _, k := range kinds {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k.key, MinVersion: k.min, MaxVersion: k.max})
	}
	return resp
}

// failedResponse is the response that says that the controller could not be reached; nil for requests without a place for it.
func failedResponse(req kmsg.Request, err error) kmsg.Response {
	code := kafkaUnknownServerError
	switch {
	case errors.Is(err, ErrTimeout):
		code = kafkaRequestTimedOut
	case errors.Is(err, ErrNotController), errors.Is(err, ErrClosed):
		code = kafkaNotController
	case errors.Is(err, ErrInvalid):
		code = kafkaPolicyViolation
	}
	text := err.Error()
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, t := range r.Topics {
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic, out.ErrorCode, out.ErrorMessage = t.Topic, code, &text
			out.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
			resp.Topics = append(resp.Topics, out)
		}
		return resp
	case *kmsg.DeleteTopicsRequest:
		resp := r.ResponseKind().(*kmsg.DeleteTopicsResponse)
		for _, name := range r.TopicNames {
			resp.Topics = append(resp.Topics, kmsg.DeleteTopicsResponseTopic{Topic: &name, ErrorCode: code, ErrorMessage: &text})
		}
		for _, t := range r.Topics {
			resp.Topics = append(resp.Topics, kmsg.DeleteTopicsResponseTopic{Topic: t.Topic, TopicID: t.TopicID, ErrorCode: code, ErrorMessage: &text})
		}
		return resp
	case *kmsg.CreatePartitionsRequest:
		resp := r.ResponseKind().(*kmsg.CreatePartitionsResponse)
		for _, t := range r.Topics {
			resp.Topics = append(resp.Topics, kmsg.CreatePartitionsResponseTopic{Topic: t.Topic, ErrorCode: code, ErrorMessage: &text})
		}
		return resp
	case *kmsg.AlterConfigsRequest:
		resp := r.ResponseKind().(*kmsg.AlterConfigsResponse)
		for _, x := range r.Resources {
			resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{ErrorCode: code, ErrorMessage: &text, ResourceType: x.ResourceType, ResourceName: x.ResourceName})
		}
		return resp
	case *kmsg.IncrementalAlterConfigsRequest:
		resp := r.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for _, x := range r.Resources {
			resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{ErrorCode: code, ErrorMessage: &text, ResourceType: x.ResourceType, ResourceName: x.ResourceName})
		}
		return resp
	case *kmsg.CreateDelegationTokenRequest:
		resp := r.ResponseKind().(*kmsg.CreateDelegationTokenResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.RenewDelegationTokenRequest:
		resp := r.ResponseKind().(*kmsg.RenewDelegationTokenResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.ExpireDelegationTokenRequest:
		resp := r.ResponseKind().(*kmsg.ExpireDelegationTokenResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.UpdateFeaturesRequest:
		resp := r.ResponseKind().(*kmsg.UpdateFeaturesResponse)
		resp.ErrorCode, resp.ErrorMessage, resp.Results = code, &text, []kmsg.UpdateFeaturesResponseResult{}
		return resp
	case *kmsg.DescribeQuorumRequest:
		if code == kafkaNotController {
			code = kafkaNotLeader
		}
		return failedQuorum(r, code)
	case *kmsg.AddRaftVoterRequest:
		resp := r.ResponseKind().(*kmsg.AddRaftVoterResponse)
		resp.ErrorCode, resp.ErrorMessage = code, &text
		return resp
	case *kmsg.RemoveRaftVoterRequest:
		resp := r.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
		resp.ErrorCode, resp.ErrorMessage = code, &text
		return resp
	case *kmsg.UpdateRaftVoterRequest:
		resp := r.ResponseKind().(*kmsg.UpdateRaftVoterResponse)
		resp.ErrorCode = code
		return resp
	case *kmsg.BrokerRegistrationRequest:
		resp := r.ResponseKind().(*kmsg.BrokerRegistrationResponse)
		resp.ErrorCode, resp.BrokerEpoch = code, -1
		return resp
	case *kmsg.BrokerHeartbeatRequest:
		resp := r.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
		resp.ErrorCode, resp.IsFenced = code, true
		return resp
	case *kmsg.UnregisterBrokerRequest:
		resp := r.ResponseKind().(*kmsg.UnregisterBrokerResponse)
		resp.ErrorCode, resp.ErrorMessage = code, &text
		return resp
	case *kmsg.AllocateProducerIDsRequest:
		resp := r.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
		resp.ErrorCode = code
		return resp
	}
	return nil
}

func (n *Node) serveFetchLog(body []byte) ([]byte, error) {
	var m fetchLog
	if err := m.read(body); err != nil {
		return nil, err
	}
	out := n.fetchLog(&m)
	out.leader = n.leader()
	return out.append(nil), nil
}

func (n *Node) fetchLog(m *fetchLog) (out logPiece) {
	fail := func(err error) logPiece {
		out.code, out.message = codeOf(err)
		return out
	}
	if err := n.checkCluster(m.clusterID); err != nil {
		return fail(err)
	}
	n.observers.seen(m.node, m.directory, m.from, n.Image().Offset())
	storage := n.log.Storage()
	first, err := storage.FirstIndex()
	if err != nil {
		return fail(err)
	}
	if m.from+1 >= int64(first) {
		ctx, cancel := context.WithTimeout(n.ctx, time.Duration(min(max(m.waitMs, 0), 60_000))*time.Millisecond)
		defer cancel()
		// A voter that has no leader has no news either, and says so, so that the observer can go elsewhere.
		moved := n.leaders.heard()
		if n.leader() == noNode {
			cancel()
		}
		go func() {
			for n.leader() != noNode {
				select {
				case <-moved:
					moved = n.leaders.heard()
				case <-ctx.Done():
					return
				}
			}
			cancel()
		}()
		_ = n.applier.wait(ctx, n.stopping, func(img *Image) bool { return n.applier.logged(img) > m.from })
		end := n.applier.logged(n.Image())
		if end <= m.from {
			return out
		}
		ents, err := storage.Entries(uint64(m.from)+1, uint64(end)+1, uint64(min(max(m.maxBytes, 1), maxBatchBytes)))
		if err == nil {
			if out.entries, err = entriesOf(ents); err != nil {
				return fail(err)
			}
			return out
		}
		if !errors.Is(err, raft.ErrCompacted) {
			return fail(err)
		}
	}
	ids, err := n.log.Snapshots().List()
	if err != nil {
		return fail(err)
	}
	if len(ids) == 0 || ids[0].Index <= m.from {
		return fail(refuse(CodeInternal, "the log begins at %d, and there is no snapshot for an observer at %d", first, m.from))
	}
	out.snapshot = ids[0]
	return out
}

func (n *Node) serveFetchSnapshot(body []byte) ([]byte, error) {
	var m fetchSnapshot
	if err := m.read(body); err != nil {
		return nil, err
	}
	var out snapshotPiece
	if err := n.fetchSnapshot(&m, &out); err != nil {
		out.code, out.message = codeOf(err)
	}
	return out.append(nil), nil
}

func (n *Node) fetchSnapshot(m *fetchSnapshot, out *snapshotPiece) error {
	if err := n.checkCluster(m.clusterID); err != nil {
		return err
	}
	if m.offset < 0 {
		return refuse(CodeInvalid, "offset %d", m.offset)
	}
	n.core.snapshotSeen(raftID(m.node))
	f, err := os.Open(n.log.Snapshots().Path(m.id))
	if errors.Is(err, os.ErrNotExist) {
		return refuse(CodeNotFound, "snapshot %d of term %d", m.id.Index, m.id.Term)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	out.total = st.Size()
	out.data = make([]byte, min(snapshotPieceBytes, max(0, out.total-m.offset)))
	if _, err := f.ReadAt(out.data, m.offset); err != nil && err != io.EOF {
		return err
	}
	return nil
}
