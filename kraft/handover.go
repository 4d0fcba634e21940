package kraft

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// KeyHandover is the key of a request between brokers, on the listener for such traffic. It is no request of Kafka's and not advertised.
const KeyHandover int16 = 1021

// HandoverRequest asks the owner of a stream to resign and to hand over what is in no object. Each side is named with its registration, and the image
// that the asking node has acted on by its offset, so that neither takes the other for somebody else or decides on older metadata.
type HandoverRequest struct {
	ClusterID   string
	Node        int32 // who asks
	NodeEpoch   int64
	Owner       int32 // who is asked
	OwnerEpoch  int64 // its registration
	ImageOffset int64
	Topic       TopicID
	Partition   int32
	LeaderEpoch int32 // that Node is going to have
	Stream      StreamID
	StreamEpoch int64 // at which Owner owns the stream
	Offset      int64 // -1: resign, and begin; otherwise only records from here on, after a first answer
}

// HandoverResponse answers a HandoverRequest with a piece of the tail, at least one record while there are any.
type HandoverResponse struct {
	Code       Code
	Message    string
	From, Next int64 // the tail is [From, Next)
	// The owner's state at Next, if there is one; in the first answer only.
	HasCheckpoint bool
	Checkpoint    []byte
	Records       []HandoverRecord // in order of offsets, from From or the offset asked for on
}

// HandoverRecord is one record of the stream. A decoded Payload aliases the response's bytes.
type HandoverRecord struct {
	First, Next  int64
	MaxTimestamp int64
	Payload      []byte
}

// SplitPeerFrame takes a request frame apart that another broker has made with this package. ok is false for a request of another key. body aliases frame.
func SplitPeerFrame(frame []byte, key int16) (correlation int32, body []byte, ok bool) {
	h, body, err := readHeader(frame)
	return h.correlation, body, err == nil && h.key == key && h.version == 0
}

// AppendPeerResponse begins the response to such a request; its wire form follows.
func AppendPeerResponse(dst []byte, correlation int32) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(correlation))
}

// minHandoverRecordBytes is the least that one encoded record takes.
const minHandoverRecordBytes = 4

// AppendTo appends the wire form.
func (r *HandoverRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendString(dst, r.ClusterID)
	for _, v := range []int64{int64(r.Node), r.NodeEpoch, int64(r.Owner), r.OwnerEpoch, r.ImageOffset} {
		dst = wire.AppendVarint(dst, v)
	}
	dst = append(dst, r.Topic[:]...)
	for _, v := range []int64{int64(r.Partition), int64(r.LeaderEpoch), int64(r.Stream), r.StreamEpoch, r.Offset} {
		dst = wire.AppendVarint(dst, v)
	}
	return dst
}

// ReadFrom parses the wire form.
func (r *HandoverRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.ClusterID, r.Node, r.NodeEpoch, r.Owner, r.OwnerEpoch, r.ImageOffset = d.String(), d.Int32(), d.Varint(), d.Int32(), d.Varint(), d.Varint()
	d.Array(r.Topic[:])
	r.Partition, r.LeaderEpoch, r.Stream, r.StreamEpoch, r.Offset = d.Int32(), d.Int32(), StreamID(d.Varint()), d.Varint(), d.Varint()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *HandoverResponse) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Code))
	dst = wire.AppendString(dst, r.Message)
	dst = wire.AppendVarint(wire.AppendVarint(dst, r.From), r.Next)
	dst = wire.AppendBytes(wire.AppendBool(dst, r.HasCheckpoint), r.Checkpoint)
	dst = wire.AppendUvarint(dst, uint64(len(r.Records)))
	for _, x := range r.Records {
		for _, v := range []int64{x.First, x.Next, x.MaxTimestamp} {
			dst = wire.AppendVarint(dst, v)
		}
		dst = wire.AppendBytes(dst, x.Payload)
	}
	return dst
}

// ReadFrom parses the wire form.
func (r *HandoverResponse) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Code, r.Message, r.From, r.Next = Code(d.Int16()), d.String(), d.Varint(), d.Varint()
	r.HasCheckpoint, r.Checkpoint = d.Bool(), d.Bytes()
	if n := d.Count(minHandoverRecordBytes); n > 0 {
		r.Records = make([]HandoverRecord, n)
		for i := range r.Records {
			r.Records[i] = HandoverRecord{First: d.Varint(), Next: d.Varint(), MaxTimestamp: d.Varint(), Payload: d.Bytes()}
		}
	}
	return closeReader(d, r)
}

// Err is nil when the request was granted.
func (r *HandoverResponse) Err() error {
	if r.Code == CodeNone {
		return nil
	}
	return &CodeError{Code: r.Code, Message: r.Message}
}

// Fail sets the code and the text of an error.
func (r *HandoverResponse) Fail(err error) { r.Code, r.Message = codeOf(err) }

// AskHandover sends a request to its Owner, at the listener of that name, after filling in who asks and what is asked of whom. It waits as long as
// ctx lives. Errors match ErrNotFound when the broker cannot be called, and those of HandoverResponse.Err.
func (n *Node) AskHandover(ctx context.Context, listener string, req *HandoverRequest) (*HandoverResponse, error) {
	img := n.Image()
	b := img.Broker(req.Owner)
	if b == nil {
		return nil, refuse(CodeNotFound, "broker %d is not registered", req.Owner)
	}
	e, ok := b.Endpoint(listener)
	if !ok {
		return nil, refuse(CodeNotFound, "broker %d has no listener %s", req.Owner, listener)
	}
	req.ClusterID, req.Node, req.NodeEpoch, req.OwnerEpoch, req.ImageOffset = n.opts.ClusterID, n.opts.NodeID, n.BrokerEpoch(), b.Epoch, img.Offset()
	addr := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	body, err := n.brokers.call(ctx, addr, KeyHandover, req.AppendTo(nil))
	if err != nil {
		return nil, fmt.Errorf("kraft: broker %d: %w", req.Owner, err)
	}
	var resp HandoverResponse
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("kraft: answer of broker %d: %w", req.Owner, err)
	}
	return &resp, resp.Err()
}
