package kraft

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/wire"
	"github.com/ringmq/ringmq/kraft/record"
)

// Keys of the private requests. Kafka's own keys stay far below 1000.
const (
	keyRaft           int16 = 1000 // raft messages, one way
	keyEnvelope       int16 = 1001 // a request for the active controller
	keyFetchLog       int16 = 1002 // committed entries for an observer
	keyFetchSnapshot  int16 = 1003 // a piece of a snapshot
	keyPrepareObjects int16 = 1010
	keyCommitObjects  int16 = 1011
	keyOpenStream     int16 = 1012
	keyCloseStream    int16 = 1013
	keyTrimStream     int16 = 1014
	keyDeletedObjects int16 = 1015
	keyBrokerWAL      int16 = 1050
	keyBeginRescue    int16 = 1051
	keyFinishRescue   int16 = 1052
	keyBrokerFailed   int16 = 1053
	keyReclaim        int16 = 1020
	keyRewriteStream  int16 = 1030
)

// The stream requests. All are answered by a StreamResponse. Node and NodeEpoch name the asking broker and its registration.
type (
	// PrepareObjectsRequest reserves Count object ids, which have to be committed within an hour.
	PrepareObjectsRequest struct {
		private
		Node      int32
		NodeEpoch int64
		Count     int32 // 1..MaxPrepare
	}
	// CommitObjectsRequest makes objects part of streams, all or nothing.
	CommitObjectsRequest struct {
		private
		Node      int32
		NodeEpoch int64
		// Extends: the objects continue their streams at Stream.End (an upload). Otherwise they replace Compacted, with the same offsets.
		Extends   bool
		New       []NewObject
		Compacted []ObjectID
	}
	// RewriteStreamRequest puts New, objects of the one stream, in the place of what the objects Replaced hold of it, with the same offsets; and says
	// that everything below Cleaned is compacted by key. Without objects it says only that. Node owns the stream at Epoch.
	RewriteStreamRequest struct {
		private
		Stream    StreamID
		Epoch     int64
		Node      int32
		NodeEpoch int64
		Cleaned   int64 // a lower one than the present one changes nothing
		New       []NewObject
		Replaced  []ObjectID
	}
	// OpenStreamRequest makes Node the owner of the stream. Epoch is the leader epoch of the stream's partition, which Node leads. HandedOver says that
	// node From, which owns the stream at FromEpoch, has handed over all that it has of it. Node may then also be the partition's target: it becomes the
	// leader, and Epoch is the next leader epoch.
	OpenStreamRequest struct {
		private
		Stream     StreamID
		Epoch      int64
		Node       int32
		NodeEpoch  int64
		HandedOver bool
		From       int32
		FromEpoch  int64
	}
	// ReclaimRequest says that Node, which leads the partition at LeaderEpoch and has resigned for a target that did not take over, wants to serve again.
	ReclaimRequest struct {
		private
		Topic       TopicID
		Partition   int32
		LeaderEpoch int32
		Node        int32
		NodeEpoch   int64
	}
	// CloseStreamRequest says that nothing of the stream remains in the WAL of its owner.
	CloseStreamRequest struct {
		private
		Stream    StreamID
		Epoch     int64
		Node      int32
		NodeEpoch int64
	}
	// TrimStreamRequest moves the start of the stream up to Start; a lower Start than the present one changes nothing.
	TrimStreamRequest struct {
		private
		Stream    StreamID
		Epoch     int64
		Node      int32
		NodeEpoch int64
		Start     int64
	}
	// DeletedObjectsRequest forgets destroyed objects that are gone from the bucket. Unknown ids are ignored.
	DeletedObjectsRequest struct {
		private
		Node      int32
		NodeEpoch int64
		IDs       []ObjectID
	}
)

// MaxPrepare bounds PrepareObjectsRequest.Count.
const MaxPrepare = 10_000

// NewObject is one object of a commit, prepared before.
type NewObject struct {
	ID     ObjectID
	Kind   ObjectKind
	Size   int64   // bytes in the bucket
	Ranges []Range // by stream, then start; a stream object has exactly one
}

// StreamResponse answers every stream request.
type StreamResponse struct {
	private
	key     int16
	Code    Code
	Message string
	First   ObjectID // PrepareObjects: the ids are First, First+1, …
	Epoch   int64    // BeginRescue: the broker epoch of the rescue
	Closed  int64    // FinishRescue: streams that were closed
	Moved   int64    // FinishRescue: partitions that have got a live leader
	Left    int64    // FinishRescue: streams that are still to be closed, by the next request
}

// Err is nil when the request was granted.
func (r *StreamResponse) Err() error {
	if r.Code == CodeNone {
		return nil
	}
	return &CodeError{Code: r.Code, Message: r.Message}
}

// private is the part of kmsg.Request and kmsg.Response that is the same for all messages of this package: they have one version, 0.
type private struct{}

func (private) MaxVersion() int16 { return 0 }
func (private) SetVersion(int16)  {}
func (private) GetVersion() int16 { return 0 }
func (private) IsFlexible() bool  { return false }

var (
	_ kmsg.Request  = (*PrepareObjectsRequest)(nil)
	_ kmsg.Request  = (*CommitObjectsRequest)(nil)
	_ kmsg.Request  = (*OpenStreamRequest)(nil)
	_ kmsg.Request  = (*CloseStreamRequest)(nil)
	_ kmsg.Request  = (*TrimStreamRequest)(nil)
	_ kmsg.Request  = (*DeletedObjectsRequest)(nil)
	_ kmsg.Request  = (*ReclaimRequest)(nil)
	_ kmsg.Request  = (*RewriteStreamRequest)(nil)
	_ kmsg.Response = (*StreamResponse)(nil)
)

func (*PrepareObjectsRequest) Key() int16 { return keyPrepareObjects }
func (*CommitObjectsRequest) Key() int16  { return keyCommitObjects }
func (*OpenStreamRequest) Key() int16     { return keyOpenStream }
func (*CloseStreamRequest) Key() int16    { return keyCloseStream }
func (*TrimStreamRequest) Key() int16     { return keyTrimStream }
func (*DeletedObjectsRequest) Key() int16 { return keyDeletedObjects }
func (*ReclaimRequest) Key() int16        { return keyReclaim }
func (*RewriteStreamRequest) Key() int16  { return keyRewriteStream }
func (r *StreamResponse) Key() int16      { return r.key }

func streamResponse(key int16) kmsg.Response { return &StreamResponse{key: key} }

func (*PrepareObjectsRequest) ResponseKind() kmsg.Response { return streamResponse(keyPrepareObjects) }
func (*CommitObjectsRequest) ResponseKind() kmsg.Response  { return streamResponse(keyCommitObjects) }
func (*OpenStreamRequest) ResponseKind() kmsg.Response     { return streamResponse(keyOpenStream) }
func (*CloseStreamRequest) ResponseKind() kmsg.Response    { return streamResponse(keyCloseStream) }
func (*TrimStreamRequest) ResponseKind() kmsg.Response     { return streamResponse(keyTrimStream) }
func (*DeletedObjectsRequest) ResponseKind() kmsg.Response { return streamResponse(keyDeletedObjects) }
func (*ReclaimRequest) ResponseKind() kmsg.Response        { return streamResponse(keyReclaim) }
func (*RewriteStreamRequest) ResponseKind() kmsg.Response  { return streamResponse(keyRewriteStream) }

// RequestKind returns the kind of request that this response answers.
func (r *StreamResponse) RequestKind() kmsg.Request { return streamRequest(r.key) }

// streamRequest returns an empty stream request of the key, nil if there is none.
func streamRequest(key int16) kmsg.Request {
	switch key {
	case keyBrokerWAL:
		return &BrokerWALRequest{}
	case keyBrokerFailed:
		return &BrokerFailedRequest{}
	case keyBeginRescue:
		return &BeginRescueRequest{}
	case keyFinishRescue:
		return &FinishRescueRequest{}
	case keyPrepareObjects:
		return &PrepareObjectsRequest{}
	case keyCommitObjects:
		return &CommitObjectsRequest{}
	case keyOpenStream:
		return &OpenStreamRequest{}
	case keyCloseStream:
		return &CloseStreamRequest{}
	case keyTrimStream:
		return &TrimStreamRequest{}
	case keyDeletedObjects:
		return &DeletedObjectsRequest{}
	case keyReclaim:
		return &ReclaimRequest{}
	case keyRewriteStream:
		return &RewriteStreamRequest{}
	}
	return nil
}

// AppendTo appends the wire form.
func (r *PrepareObjectsRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Node))
	dst = wire.AppendVarint(dst, r.NodeEpoch)
	return wire.AppendVarint(dst, int64(r.Count))
}

// ReadFrom parses the wire form.
func (r *PrepareObjectsRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch, r.Count = d.Int32(), d.Varint(), d.Int32()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *CommitObjectsRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Node))
	dst = wire.AppendVarint(dst, r.NodeEpoch)
	dst = wire.AppendBool(dst, r.Extends)
	return record.AppendObjectIDs(appendNewObjects(dst, r.New), r.Compacted)
}

// ReadFrom parses the wire form.
func (r *CommitObjectsRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch, r.Extends = d.Int32(), d.Varint(), d.Bool()
	r.New, r.Compacted = readNewObjects(d), record.ReadObjectIDs(d)
	return closeReader(d, r)
}

func appendNewObjects(dst []byte, objects []NewObject) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(objects)))
	for _, o := range objects {
		dst = wire.AppendVarint(dst, int64(o.ID))
		dst = append(dst, byte(o.Kind))
		dst = wire.AppendVarint(dst, o.Size)
		dst = record.AppendRanges(dst, o.Ranges)
	}
	return dst
}

func readNewObjects(d *wire.Reader) []NewObject {
	objects := make([]NewObject, d.Count(4))
	for i := range objects {
		o := &objects[i]
		o.ID, o.Kind, o.Size = ObjectID(d.Varint()), ObjectKind(d.Byte()), d.Varint()
		o.Ranges = record.ReadRanges(d)
	}
	return objects
}

// AppendTo appends the wire form.
func (r *RewriteStreamRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(appendStream(dst, r.Stream, r.Epoch, r.Node, r.NodeEpoch), r.Cleaned)
	return record.AppendObjectIDs(appendNewObjects(dst, r.New), r.Replaced)
}

// ReadFrom parses the wire form.
func (r *RewriteStreamRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Stream, r.Epoch, r.Node, r.NodeEpoch = readStream(d)
	r.Cleaned = d.Varint()
	r.New, r.Replaced = readNewObjects(d), record.ReadObjectIDs(d)
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *OpenStreamRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendBool(appendStream(dst, r.Stream, r.Epoch, r.Node, r.NodeEpoch), r.HandedOver)
	return wire.AppendVarint(wire.AppendVarint(dst, int64(r.From)), r.FromEpoch)
}

// ReadFrom parses the wire form.
func (r *OpenStreamRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Stream, r.Epoch, r.Node, r.NodeEpoch = readStream(d)
	r.HandedOver, r.From, r.FromEpoch = d.Bool(), d.Int32(), d.Varint()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *ReclaimRequest) AppendTo(dst []byte) []byte {
	dst = append(dst, r.Topic[:]...)
	for _, v := range []int64{int64(r.Partition), int64(r.LeaderEpoch), int64(r.Node), r.NodeEpoch} {
		dst = wire.AppendVarint(dst, v)
	}
	return dst
}

// ReadFrom parses the wire form.
func (r *ReclaimRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	d.Array(r.Topic[:])
	r.Partition, r.LeaderEpoch, r.Node, r.NodeEpoch = d.Int32(), d.Int32(), d.Int32(), d.Varint()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *CloseStreamRequest) AppendTo(dst []byte) []byte {
	return appendStream(dst, r.Stream, r.Epoch, r.Node, r.NodeEpoch)
}

// ReadFrom parses the wire form.
func (r *CloseStreamRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Stream, r.Epoch, r.Node, r.NodeEpoch = readStream(d)
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *TrimStreamRequest) AppendTo(dst []byte) []byte {
	return wire.AppendVarint(appendStream(dst, r.Stream, r.Epoch, r.Node, r.NodeEpoch), r.Start)
}

// ReadFrom parses the wire form.
func (r *TrimStreamRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Stream, r.Epoch, r.Node, r.NodeEpoch = readStream(d)
	r.Start = d.Varint()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *DeletedObjectsRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Node))
	dst = wire.AppendVarint(dst, r.NodeEpoch)
	return record.AppendObjectIDs(dst, r.IDs)
}

// ReadFrom parses the wire form.
func (r *DeletedObjectsRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch = d.Int32(), d.Varint()
	r.IDs = record.ReadObjectIDs(d)
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *StreamResponse) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Code))
	dst = wire.AppendString(dst, r.Message)
	for _, v := range []int64{int64(r.First), r.Epoch, r.Closed, r.Moved, r.Left} {
		dst = wire.AppendVarint(dst, v)
	}
	return dst
}

// ReadFrom parses the wire form.
func (r *StreamResponse) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Code, r.Message, r.First = Code(d.Int16()), d.String(), ObjectID(d.Varint())
	r.Epoch, r.Closed, r.Moved, r.Left = d.Varint(), d.Varint(), d.Varint(), d.Varint()
	return closeReader(d, r)
}

func appendStream(dst []byte, id StreamID, epoch int64, node int32, nodeEpoch int64) []byte {
	dst = wire.AppendVarint(dst, int64(id))
	dst = wire.AppendVarint(dst, epoch)
	dst = wire.AppendVarint(dst, int64(node))
	return wire.AppendVarint(dst, nodeEpoch)
}

func readStream(d *wire.Reader) (id StreamID, epoch int64, node int32, nodeEpoch int64) {
	return StreamID(d.Varint()), d.Varint(), d.Int32(), d.Varint()
}

func closeReader(d *wire.Reader, what any) error {
	if err := d.Close(); err != nil {
		return fmt.Errorf("kraft: %T: %w", what, err)
	}
	return nil
}
