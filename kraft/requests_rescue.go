package kraft

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// The requests around a broker's write-ahead log, answered by a StreamResponse.
type (
	// BrokerWALRequest says that what the broker acknowledges and has not uploaded is in the log WAL; zero: nothing of it is in any log.
	BrokerWALRequest struct {
		private
		Node      int32
		NodeEpoch int64
		WAL       [16]byte
	}
	// BrokerFailedRequest says that the broker ends itself, and why: it is fenced at once and counts as dead until it registers anew.
	BrokerFailedRequest struct {
		private
		Node      int32
		NodeEpoch int64
		Cause     string // for a person; 1 to maxCause bytes
	}
	// BeginRescueRequest registers the sender in the place of a dead broker, whose log WAL it has. Refused with CodeConflict while the broker was heard of
	// within its session's time, unless Force says that it is known to be dead, and for another log than the one that the broker used last.
	BeginRescueRequest struct {
		private
		Node        int32
		Incarnation [16]byte // of the rescue: asked again with the same one, the request has the same answer
		WAL         [16]byte
		Force       bool
	}
	// FinishRescueRequest says that everything in the log is in objects. It closes the broker's streams and moves its partitions to live brokers, a bounded number
	// at a time: it is repeated until Left is 0.
	FinishRescueRequest struct {
		private
		Node      int32
		NodeEpoch int64
		WAL       [16]byte
	}
)

var (
	_ kmsg.Request = (*BrokerWALRequest)(nil)
	_ kmsg.Request = (*BrokerFailedRequest)(nil)
	_ kmsg.Request = (*BeginRescueRequest)(nil)
	_ kmsg.Request = (*FinishRescueRequest)(nil)
)

func (*BrokerWALRequest) Key() int16    { return keyBrokerWAL }
func (*BrokerFailedRequest) Key() int16 { return keyBrokerFailed }
func (*BeginRescueRequest) Key() int16  { return keyBeginRescue }
func (*FinishRescueRequest) Key() int16 { return keyFinishRescue }

func (*BrokerWALRequest) ResponseKind() kmsg.Response    { return streamResponse(keyBrokerWAL) }
func (*BrokerFailedRequest) ResponseKind() kmsg.Response { return streamResponse(keyBrokerFailed) }
func (*BeginRescueRequest) ResponseKind() kmsg.Response  { return streamResponse(keyBeginRescue) }
func (*FinishRescueRequest) ResponseKind() kmsg.Response { return streamResponse(keyFinishRescue) }

// AppendTo appends the wire form.
func (r *BrokerWALRequest) AppendTo(dst []byte) []byte {
	return appendNodeWAL(dst, r.Node, r.NodeEpoch, &r.WAL)
}

// ReadFrom parses the wire form.
func (r *BrokerWALRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch = readNodeWAL(d, &r.WAL)
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *BrokerFailedRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Node))
	dst = wire.AppendVarint(dst, r.NodeEpoch)
	return wire.AppendString(dst, r.Cause)
}

// ReadFrom parses the wire form.
func (r *BrokerFailedRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch, r.Cause = d.Int32(), d.Varint(), d.String()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *BeginRescueRequest) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Node))
	dst = append(append(dst, r.Incarnation[:]...), r.WAL[:]...)
	return wire.AppendBool(dst, r.Force)
}

// ReadFrom parses the wire form.
func (r *BeginRescueRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node = d.Int32()
	d.Array(r.Incarnation[:])
	d.Array(r.WAL[:])
	r.Force = d.Bool()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *FinishRescueRequest) AppendTo(dst []byte) []byte {
	return appendNodeWAL(dst, r.Node, r.NodeEpoch, &r.WAL)
}

// ReadFrom parses the wire form.
func (r *FinishRescueRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Node, r.NodeEpoch = readNodeWAL(d, &r.WAL)
	return closeReader(d, r)
}

func appendNodeWAL(dst []byte, node int32, epoch int64, log *[16]byte) []byte {
	dst = wire.AppendVarint(dst, int64(node))
	dst = wire.AppendVarint(dst, epoch)
	return append(dst, log[:]...)
}

func readNodeWAL(d *wire.Reader, log *[16]byte) (node int32, epoch int64) {
	node, epoch = d.Int32(), d.Varint()
	d.Array(log[:])
	return node, epoch
}
