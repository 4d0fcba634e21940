package kraft

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// The messages between nodes. Each names the cluster, so that a node of another cluster is refused by name.

// envelope carries a request to the active controller.
type envelope struct {
	clusterID string
	node      int32 // who asks
	asker     Asker // on whose behalf
	timeoutMs int64 // how long it waits
	key       int16
	version   int16
	body      []byte // the request in its wire form; aliases the frame when decoded
}

func (m *envelope) append(dst []byte) []byte {
	dst = wire.AppendString(dst, m.clusterID)
	dst = wire.AppendVarint(dst, int64(m.node))
	dst = wire.AppendString(dst, m.asker.Principal)
	dst = wire.AppendString(dst, m.asker.ClientID)
	dst = wire.AppendBool(dst, m.asker.Patient)
	dst = wire.AppendVarint(dst, m.timeoutMs)
	dst = wire.AppendVarint(dst, int64(m.key))
	dst = wire.AppendVarint(dst, int64(m.version))
	return append(dst, m.body...)
}

func (m *envelope) read(b []byte) error {
	d := wire.NewReader(b)
	m.clusterID, m.node = d.String(), d.Int32()
	m.asker = Asker{Principal: d.String(), ClientID: d.String(), Patient: d.Bool()}
	m.timeoutMs, m.key, m.version = d.Varint(), d.Int16(), d.Int16()
	m.body = d.Rest()
	return d.Err()
}

// reply answers an envelope.
type reply struct {
	code    Code
	message string
	leader  int32 // -1 if unknown
	offset  int64 // of an image that shows the effect
	body    []byte
}

func (m *reply) append(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(m.code))
	dst = wire.AppendString(dst, m.message)
	dst = wire.AppendVarint(dst, int64(m.leader))
	dst = wire.AppendVarint(dst, m.offset)
	return append(dst, m.body...)
}

func (m *reply) read(b []byte) error {
	d := wire.NewReader(b)
	m.code, m.message, m.leader, m.offset = Code(d.Int16()), d.String(), d.Int32(), d.Varint()
	m.body = d.Rest()
	return d.Err()
}

// fetchLog asks for committed entries behind an offset; the answer waits until there is one, or the time is over.
type fetchLog struct {
	clusterID string
	node      int32
	from      int64 // last offset that the observer has
	maxBytes  int64
	waitMs    int64
	directory [16]byte // of the observer
}

func (m *fetchLog) append(dst []byte) []byte {
	dst = wire.AppendString(dst, m.clusterID)
	for _, v := range []int64{int64(m.node), m.from, m.maxBytes, m.waitMs} {
		dst = wire.AppendVarint(dst, v)
	}
	return append(dst, m.directory[:]...)
}

func (m *fetchLog) read(b []byte) error {
	d := wire.NewReader(b)
	m.clusterID, m.node, m.from, m.maxBytes, m.waitMs = d.String(), d.Int32(), d.Varint(), d.Varint(), d.Varint()
	d.Array(m.directory[:])
	return d.Close()
}

// logPiece answers fetchLog: entries, or the snapshot that has to be loaded first.
type logPiece struct {
	code     Code
	message  string
	leader   int32
	snapshot snapfile.ID // Index > 0: the entries asked for are gone, load this
	entries  []entry
	image    *Image // of the snapshot, when it has been loaded; does not travel
}

func (m *logPiece) append(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(m.code))
	dst = wire.AppendString(dst, m.message)
	dst = wire.AppendVarint(dst, int64(m.leader))
	dst = wire.AppendVarint(dst, m.snapshot.Index)
	dst = wire.AppendVarint(dst, m.snapshot.Term)
	dst = wire.AppendUvarint(dst, uint64(len(m.entries)))
	for _, e := range m.entries {
		dst = wire.AppendVarint(dst, e.index)
		dst = wire.AppendVarint(dst, e.term)
		dst = wire.AppendBytes(dst, e.data)
	}
	return dst
}

func (m *logPiece) read(b []byte) error {
	d := wire.NewReader(b)
	m.code, m.message, m.leader = Code(d.Int16()), d.String(), d.Int32()
	m.snapshot.Index, m.snapshot.Term = d.Varint(), d.Varint()
	if n := d.Count(3); n > 0 {
		m.entries = make([]entry, n)
		for i := range m.entries {
			m.entries[i] = entry{index: d.Varint(), term: d.Varint(), data: d.Bytes()}
		}
	}
	return d.Close()
}

// fetchSnapshot asks for a piece of a snapshot file.
type fetchSnapshot struct {
	clusterID string
	node      int32
	id        snapfile.ID
	offset    int64
}

func (m *fetchSnapshot) append(dst []byte) []byte {
	dst = wire.AppendString(dst, m.clusterID)
	for _, v := range []int64{int64(m.node), m.id.Index, m.id.Term, m.offset} {
		dst = wire.AppendVarint(dst, v)
	}
	return dst
}

func (m *fetchSnapshot) read(b []byte) error {
	d := wire.NewReader(b)
	m.clusterID, m.node, m.id.Index, m.id.Term, m.offset = d.String(), d.Int32(), d.Varint(), d.Varint(), d.Varint()
	return d.Close()
}

// snapshotPiece answers fetchSnapshot.
type snapshotPiece struct {
	code    Code
	message string
	total   int64 // bytes of the file
	data    []byte
}

func (m *snapshotPiece) append(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(m.code))
	dst = wire.AppendString(dst, m.message)
	dst = wire.AppendVarint(dst, m.total)
	return wire.AppendBytes(dst, m.data)
}

func (m *snapshotPiece) read(b []byte) error {
	d := wire.NewReader(b)
	m.code, m.message, m.total, m.data = Code(d.Int16()), d.String(), d.Varint(), d.Bytes()
	return d.Close()
}

// raftFrame carries raft messages from one voter to another, one way.
type raftFrame struct {
	clusterID     string
	from, to      int32
	fromDirectory [16]byte // metadata directory of the sender
	toDirectory   [16]byte // that of the receiver as the sender knows it, zero if it does not
	addr          string   // host:port at which the sender can be reached
	messages      [][]byte // protobuf
}

func (m *raftFrame) append(dst []byte) []byte {
	dst = wire.AppendString(dst, m.clusterID)
	dst = wire.AppendVarint(dst, int64(m.from))
	dst = wire.AppendVarint(dst, int64(m.to))
	dst = append(dst, m.fromDirectory[:]...)
	dst = append(dst, m.toDirectory[:]...)
	dst = wire.AppendString(dst, m.addr)
	dst = wire.AppendUvarint(dst, uint64(len(m.messages)))
	for _, b := range m.messages {
		dst = wire.AppendBytes(dst, b)
	}
	return dst
}

func (m *raftFrame) read(b []byte) error {
	d := wire.NewReader(b)
	m.clusterID, m.from, m.to = d.String(), d.Int32(), d.Int32()
	d.Array(m.fromDirectory[:])
	d.Array(m.toDirectory[:])
	m.addr = d.String()
	if n := d.Count(1); n > 0 {
		m.messages = make([][]byte, n)
		for i := range m.messages {
			m.messages[i] = d.Bytes()
		}
	}
	return d.Close()
}

// requestOf returns an empty request of the kinds that a controller serves, nil for others.
func requestOf(key int16) kmsg.Request {
	if r := streamRequest(key); r != nil {
		return r
	}
	if r := balancerRequest(key); r != nil {
		return r
	}
	for _, k := range controllerKinds {
		if k.key == key {
			return kmsg.RequestForKey(key)
		}
	}
	return nil
}

// kind is a Kafka request that a controller serves, with the versions that Kafka 3.9 serves.
type kind struct {
	key      int16
	min, max int16
	again    bool // may be repeated when the outcome of the first is unknown
}

var controllerKinds = []kind{
	{key: 19, min: 2, max: 7},              // CreateTopics
	{key: 20, min: 1, max: 6},              // DeleteTopics
	{key: 30, min: 1, max: 3, again: true}, // CreateAcls
	{key: 31, min: 1, max: 3},              // DeleteAcls: the second time finds nothing
	{key: 33, min: 0, max: 2, again: true}, // AlterConfigs: sets the whole
	{key: 37, min: 0, max: 3},              // CreatePartitions
	{key: 38, min: 1, max: 3},              // CreateDelegationToken: the second time it is another one
	{key: 39, min: 1, max: 2, again: true}, // RenewDelegationToken
	{key: 40, min: 1, max: 2},              // ExpireDelegationToken: the second time it is not found
	{key: 43, min: 0, max: 2, again: true}, // ElectLeaders
	{key: 44, min: 0, max: 1},              // IncrementalAlterConfigs: APPEND
	{key: 45, min: 0, max: 1},              // AlterPartitionReassignments: null cancels
	{key: 46, min: 0, max: 0, again: true}, // ListPartitionReassignments
	{key: 49, min: 0, max: 1, again: true}, // AlterClientQuotas
	{key: 51, min: 0, max: 0},              // AlterUserScramCredentials: what is deleted twice is not found
	{key: 55, min: 0, max: 2, again: true}, // DescribeQuorum
	{key: 57, min: 0, max: 2, again: true}, // UpdateFeatures
	{key: 62, min: 0, max: 4, again: true}, // BrokerRegistration: same incarnation, same epoch
	{key: 63, min: 0, max: 1, again: true}, // BrokerHeartbeat
	{key: 64, min: 0, max: 0, again: true}, // UnregisterBroker
	{key: 67, min: 0, max: 0, again: true}, // AllocateProducerIDs: a lost block is lost
	{key: 80, min: 0, max: 1},              // AddRaftVoter: the second time it is a duplicate
	{key: 81, min: 0, max: 0},              // RemoveRaftVoter: the second time there is no such voter
	{key: 82, min: 0, max: 0, again: true}, // UpdateRaftVoter
}

// repeatable says that a request may be sent again when the outcome of the first time is unknown. All stream requests are: a commit or an
// open that has been made is recognized, and prepared ids that nobody uses expire.
func repeatable(key int16) bool {
	if streamRequest(key) != nil || IsToolKey(key) { // a report is out of date by the time it could be repeated
		return true
	}
	for _, k := range controllerKinds {
		if k.key == key {
			return k.again
		}
	}
	return false
}
