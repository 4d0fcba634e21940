package kraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// rawClient speaks Kafka's framing without help.
type rawClient struct {
	t    testing.TB
	conn net.Conn
	next int32
}

func dialRaw(t testing.TB, n *Node) *rawClient {
	conn, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &rawClient{t: t, conn: conn}
}

// frame sends the bytes behind their length, and returns the answer.
func (c *rawClient) frame(b []byte) ([]byte, error) {
	if _, err := c.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return nil, err
	}
	out := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(c.conn, out)
	return out, err
}

// do sends a request in the version that it has.
func (c *rawClient) do(req kmsg.Request) (kmsg.Response, error) {
	c.next++
	h := binary.BigEndian.AppendUint16(nil, uint16(req.Key()))
	h = binary.BigEndian.AppendUint16(h, uint16(req.GetVersion()))
	h = binary.BigEndian.AppendUint32(h, uint32(c.next))
	h = append(h, 0, 4, 't', 'e', 's', 't')
	if req.IsFlexible() {
		h = append(h, 1, 9, 2, 'x', 'y') // a tagged field that nobody knows
	}
	out, err := c.frame(req.AppendTo(h))
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(out)); got != c.next {
		return nil, fmt.Errorf("answer to %d, want %d", got, c.next)
	}
	out = out[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() && req.Key() != 18 {
		out = out[1:]
	}
	return resp, resp.ReadFrom(out)
}

func TestControllerListenerSpeaksKafka(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.startAll()
	for _, n := range c.nodes {
		register(t, n)
	}
	leader := c.leader()
	var follower *Node
	for _, n := range c.nodes {
		if n != leader {
			follower = n
		}
	}
	// Every version of every request that ApiVersions names, at the leader and at a follower.
	for name, n := range map[string]*Node{"leader": leader, "follower": follower} {
		cl := dialRaw(t, n)
		versions := kmsg.NewPtrApiVersionsRequest()
		versions.SetVersion(3)
		versions.ClientSoftwareName, versions.ClientSoftwareVersion = "test", "1"
		resp, err := cl.do(versions)
		if err != nil {
			t.Fatal(err)
		}
		keys := resp.(*kmsg.ApiVersionsResponse).ApiKeys
		if len(keys) != len(controllerKinds)+2 {
			t.Errorf("%s: %d requests are served", name, len(keys))
		}
		for _, k := range keys {
			for v := k.MinVersion; v <= k.MaxVersion; v++ {
				req := kmsg.RequestForKey(k.ApiKey)
				req.SetVersion(v)
				switch r := req.(type) {
				case *kmsg.CreateTopicsRequest:
					r.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: fmt.Sprintf("%s-%d", name, v), NumPartitions: 1, ReplicationFactor: 1}}
				case *kmsg.UnregisterBrokerRequest:
					r.BrokerID = 99
				}
				resp, err := cl.do(req)
				if err != nil {
					t.Fatalf("%s: key %d version %d: %v", name, k.ApiKey, v, err)
				}
				if r, ok := resp.(*kmsg.CreateTopicsResponse); ok && r.Topics[0].ErrorCode != 0 {
					t.Errorf("%s: create topic: code %d", name, r.Topics[0].ErrorCode)
				}
			}
		}
		// An unknown version of ApiVersions is answered in version 0, with what is known.
		cl = dialRaw(t, n)
		out, err := cl.frame([]byte{0, 18, 0, 77, 0, 0, 0, 5, 0xff, 0xff})
		if err != nil {
			t.Fatal(err)
		}
		fallback := kmsg.NewPtrApiVersionsResponse()
		if err := fallback.ReadFrom(out[4:]); err != nil || fallback.ErrorCode != 35 || len(fallback.ApiKeys) == 0 {
			t.Errorf("%s: %+v, %v", name, fallback, err)
		}
	}
	q := kmsg.NewPtrDescribeQuorumRequest()
	q.SetVersion(2)
	q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	resp, err := dialRaw(t, leader).do(q)
	if err != nil {
		t.Fatal(err)
	}
	r := resp.(*kmsg.DescribeQuorumResponse)
	p := r.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LeaderID != leader.opts.NodeID || len(p.CurrentVoters) != 3 || p.HighWatermark < 5 || len(r.Nodes) != 3 {
		t.Errorf("%+v", r)
	}
	if resp, err = dialRaw(t, follower).do(q); err != nil || resp.(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0].ErrorCode != 6 {
		t.Errorf("a follower answers %+v, %v", resp, err)
	}
}

// TestGarbageOnTheControllerListener: each is closed, and the node lives.
func TestGarbageOnTheControllerListener(t *testing.T) {
	n := start(t, singleOptions(t, t.TempDir()))
	register(t, n)
	term := n.core.status.Load().term
	forged, err := proto.Marshal(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(77)), To: new(raftID(1)), Term: new(uint64(1000))})
	if err != nil {
		t.Fatal(err)
	}
	raftOf := func(cluster string, from int32, m []byte) []byte {
		f := raftFrame{clusterID: cluster, from: from, to: 1, messages: [][]byte{m}}
		return appendFrame(nil, keyRaft, f.append(nil))[4:]
	}
	for name, b := range map[string][]byte{
		"short":           {1, 2, 3},
		"unknown key":     {0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff},
		"produce":         {0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff},
		"version":         {0, 19, 0, 99, 0, 0, 0, 1, 0xff, 0xff},
		"client id":       {0, 19, 0, 5, 0, 0, 0, 1, 0x7f, 0xff},
		"tags":            {0, 19, 0, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"body":            {0, 19, 0, 5, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff},
		"raft garbage":    appendFrame(nil, keyRaft, []byte("garbage"))[4:],
		"other cluster":   raftOf("other", 2, forged),
		"no voter":        raftOf(testCluster, 2, forged),
		"raft of itself":  raftOf(testCluster, 1, forged),
		"log garbage":     appendFrame(nil, keyFetchLog, []byte{0xff})[4:],
		"envelope":        appendFrame(nil, keyEnvelope, []byte{0xff})[4:],
		"snapshot":        appendFrame(nil, keyFetchSnapshot, []byte{5, 1})[4:],
		"key of a stream": appendFrame(nil, keyOpenStream, nil)[4:],
	} {
		cl := dialRaw(t, n)
		if out, err := cl.frame(b); err == nil {
			t.Errorf("%s: answered with %x", name, out)
		}
	}
	// Private requests in good form get an answer that says what is wrong.
	for name, c := range map[string]struct {
		m    envelope
		want Code
	}{
		"other cluster": {envelope{clusterID: "other", key: 19, version: 5}, CodeWrongCluster},
		"unknown key":   {envelope{clusterID: testCluster, key: 0, version: 5}, CodeInvalid},
		"version":       {envelope{clusterID: testCluster, key: 19, version: 99}, CodeInvalid},
		"body":          {envelope{clusterID: testCluster, key: keyCommitObjects, body: []byte{0xff}}, CodeInvalid},
	} {
		out, err := dialRaw(t, n).frame(appendFrame(nil, keyEnvelope, c.m.append(nil))[4:])
		var r reply
		if err != nil || r.read(out[4:]) != nil || r.code != c.want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	createTopic(t, n, "alive", 1)
	if now := n.core.status.Load().term; now != term {
		t.Errorf("term %d became %d", term, now)
	}
}

// TestUnknownOutcomeIsNotRepeated: a connection that breaks after the request went out leaves the outcome unknown. What must not be done twice is not
// sent twice.
func TestUnknownOutcomeIsNotRepeated(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := make(chan int16, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var size [4]byte
				if _, err := io.ReadFull(conn, size[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint32(size[:]))
				if _, err := io.ReadFull(conn, b); err != nil {
					return
				}
				h, body, err := readHeader(b)
				var m envelope
				if err == nil && h.key == keyEnvelope && m.read(body) == nil {
					seen <- m.key
				}
			}()
		}
	}()
	n := start(t, Options{
		NodeID: 10, ClusterID: testCluster, Roles: Roles{Broker: true}, Voters: map[int32]string{1: l.Addr().String()}, Dir: t.TempDir(), Logger: testLogger(t),
	})
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "t", NumPartitions: 1, ReplicationFactor: 1}}
	if _, err := n.Controller().Do(testContext(t), req); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	if got := <-seen; got != 19 || len(seen) != 0 {
		t.Fatalf("key %d was sent, and %d more", got, len(seen))
	}
	go n.Controller().Do(n.ctx, &PrepareObjectsRequest{Count: 1})
	for range 3 {
		select {
		case got := <-seen:
			if got != keyPrepareObjects {
				t.Fatalf("key %d", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("what may be repeated is not")
		}
	}
}

func TestCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{fmt.Errorf("%w: %w", ErrTimeout, ErrClosed), CodeTimeout},
		{fmt.Errorf("%w: %w", ErrClosed, ErrTimeout), CodeTimeout},
		{fmt.Errorf("%w: %w", ErrTimeout, &CodeError{Code: CodeNotController}), CodeTimeout},
		{errBusy, CodeNotController}, {ErrNotController, CodeNotController}, {ErrClosed, CodeClosed}, {refuse(CodeFenced, "x"), CodeFenced}, {io.EOF, CodeInternal},
	} {
		for range 10 {
			code, text := codeOf(c.err)
			if code != c.want {
				t.Fatalf("%v becomes code %d, want %d", c.err, code, c.want)
			}
			back := &CodeError{Code: code, Message: text}
			if base := codeErrors[code]; base != nil && !errors.Is(back, base) {
				t.Fatalf("%v does not match %v", back, base)
			}
		}
	}
}
