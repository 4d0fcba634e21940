package kraft

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/wire"
)

// Keys of the balancer's requests.
const (
	keyReportLoad       int16 = 1040
	keyDrainBroker      int16 = 1041
	keyDescribeBalancer int16 = 1042
)

type (
	// ReportLoadRequest tells the active controller what a broker does. The controller keeps it in memory alone: nothing of it enters the log.
	ReportLoadRequest struct {
		private
		Node      int32
		NodeEpoch int64
		Host      HostLoad
		// Partitions that had any load since the last report, each at most once; those left out had none.
		Partitions []PartitionLoad
	}
	// HostLoad is the part of a report that is about the broker as a whole. A capacity of 0 is not known.
	HostLoad struct {
		CPUMillis, CPUCapacityMillis int64 // thousandths of a core: in use by the process since the last report, and of the host
		WALUsed, WALCapacity         int64 // bytes
		NetworkCapacity              int64 // bytes a second, to and from the object store each
		AppendSamples                int32 // appends that were watched since the last report
		AppendMedianMicros           int64 // from the look at an append to its durability
		AppendPendingMicros          int64 // the longest wait, of those that are not durable yet too
	}
	// PartitionLoad is what one partition did since the last report, a second.
	PartitionLoad struct {
		Stream        StreamID
		BytesIn       int64
		BytesOut      int64
		MilliRequests int64 // thousandths: produced batches and answered fetches
	}

	// DrainBrokerRequest has all partitions leave a broker, or (Drain is false) ends that.
	DrainBrokerRequest struct {
		private
		Broker int32
		Drain  bool
	}

	// DescribeBalancerRequest asks for the balancer's state, and with Plan for what it would do now.
	DescribeBalancerRequest struct {
		private
		Plan bool
	}

	// BalancerResponse answers the balancer's requests.
	BalancerResponse struct {
		private
		key     int16
		Code    Code
		Message string
		State   []byte // DescribeBalancer: a BalancerState as JSON
	}
)

var (
	_ kmsg.Request  = (*ReportLoadRequest)(nil)
	_ kmsg.Request  = (*DrainBrokerRequest)(nil)
	_ kmsg.Request  = (*DescribeBalancerRequest)(nil)
	_ kmsg.Response = (*BalancerResponse)(nil)
)

// balancerRequest returns an empty request of the balancer's, nil if there is none of the key.
func balancerRequest(key int16) kmsg.Request {
	switch key {
	case keyReportLoad:
		return &ReportLoadRequest{}
	case keyDrainBroker:
		return &DrainBrokerRequest{}
	case keyDescribeBalancer:
		return &DescribeBalancerRequest{}
	}
	return nil
}

// IsToolKey says that a key is that of a private request that tools may send to any node, of either kind of listener; see Node.ServeTool.
func IsToolKey(key int16) bool { return key == keyDrainBroker || key == keyDescribeBalancer }

// Err is nil when the request was granted.
func (r *BalancerResponse) Err() error {
	return (&StreamResponse{Code: r.Code, Message: r.Message}).Err()
}

// Key implements kmsg.Request.
func (*ReportLoadRequest) Key() int16 { return keyReportLoad }

// Key implements kmsg.Request.
func (*DrainBrokerRequest) Key() int16 { return keyDrainBroker }

// Key implements kmsg.Request.
func (*DescribeBalancerRequest) Key() int16 { return keyDescribeBalancer }

// Key implements kmsg.Response.
func (r *BalancerResponse) Key() int16 { return r.key }

// ResponseKind implements kmsg.Request.
func (r *ReportLoadRequest) ResponseKind() kmsg.Response { return &BalancerResponse{key: r.Key()} }

// ResponseKind implements kmsg.Request.
func (r *DrainBrokerRequest) ResponseKind() kmsg.Response { return &BalancerResponse{key: r.Key()} }

// ResponseKind implements kmsg.Request.
func (r *DescribeBalancerRequest) ResponseKind() kmsg.Response {
	return &BalancerResponse{key: r.Key()}
}

// RequestKind implements kmsg.Response.
func (r *BalancerResponse) RequestKind() kmsg.Request { return balancerRequest(r.key) }

// minLoadBytes is the least that one encoded PartitionLoad takes.
const minLoadBytes = 4

// AppendTo appends the wire form.
func (r *ReportLoadRequest) AppendTo(dst []byte) []byte {
	h := &r.Host
	for _, v := range []int64{int64(r.Node), r.NodeEpoch, h.CPUMillis, h.CPUCapacityMillis, h.WALUsed, h.WALCapacity, h.NetworkCapacity,
		int64(h.AppendSamples), h.AppendMedianMicros, h.AppendPendingMicros} {
		dst = wire.AppendVarint(dst, v)
	}
	dst = wire.AppendUvarint(dst, uint64(len(r.Partitions)))
	for i := range r.Partitions {
		p := &r.Partitions[i]
		dst = wire.AppendVarint(dst, int64(p.Stream))
		dst = wire.AppendUvarint(dst, uint64(p.BytesIn))
		dst = wire.AppendUvarint(dst, uint64(p.BytesOut))
		dst = wire.AppendUvarint(dst, uint64(p.MilliRequests))
	}
	return dst
}

// ReadFrom parses the wire form.
func (r *ReportLoadRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	amount := func() int64 {
		v := d.Uvarint()
		if v > math.MaxInt64 {
			d.Fail("%d is no load", v)
		}
		return int64(v)
	}
	h := &r.Host
	r.Node, r.NodeEpoch = d.Int32(), d.Varint()
	h.CPUMillis, h.CPUCapacityMillis, h.WALUsed, h.WALCapacity, h.NetworkCapacity = d.Varint(), d.Varint(), d.Varint(), d.Varint(), d.Varint()
	h.AppendSamples, h.AppendMedianMicros, h.AppendPendingMicros = d.Int32(), d.Varint(), d.Varint()
	r.Partitions = make([]PartitionLoad, d.Count(minLoadBytes))
	for i := range r.Partitions {
		r.Partitions[i] = PartitionLoad{Stream: StreamID(d.Varint()), BytesIn: amount(), BytesOut: amount(), MilliRequests: amount()}
	}
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *DrainBrokerRequest) AppendTo(dst []byte) []byte {
	return wire.AppendBool(wire.AppendVarint(dst, int64(r.Broker)), r.Drain)
}

// ReadFrom parses the wire form.
func (r *DrainBrokerRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Broker, r.Drain = d.Int32(), d.Bool()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *DescribeBalancerRequest) AppendTo(dst []byte) []byte { return wire.AppendBool(dst, r.Plan) }

// ReadFrom parses the wire form.
func (r *DescribeBalancerRequest) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Plan = d.Bool()
	return closeReader(d, r)
}

// AppendTo appends the wire form.
func (r *BalancerResponse) AppendTo(dst []byte) []byte {
	dst = wire.AppendVarint(dst, int64(r.Code))
	dst = wire.AppendString(dst, r.Message)
	return wire.AppendBytes(dst, r.State)
}

// ReadFrom parses the wire form.
func (r *BalancerResponse) ReadFrom(src []byte) error {
	d := wire.NewReader(src)
	r.Code, r.Message, r.State = Code(d.Int16()), d.String(), d.Bytes()
	return closeReader(d, r)
}
