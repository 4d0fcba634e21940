package kproto

// Fetch responses, versions 4 to 18.
//
//	v5 log start offset   v7 error code, session   v11 preferred read replica   v12 flexible, diverging epoch, current leader
//	v13 topic ids   v16 node endpoints

// PartitionResult is the outcome for one partition of a Fetch. Start from NewPartitionResult or FailedPartition: in the zero value
// DivergingEpoch and LeaderID would claim something about epoch 0 and node 0.
type PartitionResult struct {
	Index                                           int32
	ErrorCode                                       ErrorCode
	HighWatermark, LastStableOffset, LogStartOffset int64 // -1 on error
	// DivergingEpoch is the largest epoch up to which the reader's log agrees with ours, and DivergingEndOffset its end (v12+).
	// Left out when negative.
	DivergingEpoch     int32
	DivergingEndOffset int64
	// LeaderID and LeaderEpoch tell the client who leads instead (v12+). Left out when LeaderID is negative.
	LeaderID, LeaderEpoch int32
	Aborted               []AbortedTxn // nil is null, which readers of uncommitted data get
	PreferredReadReplica  int32        // -1: none
}

// AbortedTxn names a transaction whose records a reader of committed data skips.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// NewPartitionResult is a successful result with nothing in it.
func NewPartitionResult(index int32) PartitionResult {
	return PartitionResult{
		Index: index, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1,
		DivergingEpoch: -1, DivergingEndOffset: -1, LeaderID: -1, LeaderEpoch: -1, PreferredReadReplica: -1,
	}
}

// FailedPartition is the result of a partition that was not read.
func FailedPartition(index int32, code ErrorCode) PartitionResult {
	p := NewPartitionResult(index)
	p.ErrorCode = code
	return p
}

// FetchResponseWriter writes the parts of a response that lie between record bytes, so that those can go out by reference:
//
//	Begin { Topic { PartitionHeader <recordsLen bytes of records> PartitionEnd } TopicEnd } End
//
// Every method appends to dst and returns it. The counts given to Begin and Topic are the caller's promise. Where a response is one
// contiguous buffer the records are simply appended between PartitionHeader and PartitionEnd.
type FetchResponseWriter struct {
	version int16
	result  PartitionResult // its tagged fields are due in PartitionEnd
}

const (
	divergingEpochTag     = 0 // in a partition of a Fetch response
	fetchCurrentLeaderTag = 1
)

func (w *FetchResponseWriter) flexible() bool { return w.version >= 12 }

// Begin starts a response body. code and sessionID are sent from v7 on.
func (w *FetchResponseWriter) Begin(dst []byte, version int16, throttleMillis int32, code ErrorCode, sessionID int32, topics int) []byte {
	w.version = version
	dst = appendInt32(dst, throttleMillis)
	if version >= 7 {
		dst = appendInt16(dst, int16(code))
		dst = appendInt32(dst, sessionID)
	}
	return appendCount(dst, w.flexible(), topics)
}

// Topic starts a topic: by name up to v12, by id from v13 on.
func (w *FetchResponseWriter) Topic(dst []byte, name string, id [16]byte, partitions int) []byte {
	if w.version >= 13 {
		dst = append(dst, id[:]...)
	} else {
		dst = appendString(dst, w.flexible(), name)
	}
	return appendCount(dst, w.flexible(), partitions)
}

// PartitionHeader writes a partition up to its records, of which recordsLen bytes must follow. 0 is an empty record set; clients do
// not all bear null there.
func (w *FetchResponseWriter) PartitionHeader(dst []byte, p PartitionResult, recordsLen int) []byte {
	w.result = p
	flexible := w.flexible()
	dst = appendInt32(dst, p.Index)
	dst = appendInt16(dst, int16(p.ErrorCode))
	dst = appendInt64(dst, p.HighWatermark)
	dst = appendInt64(dst, p.LastStableOffset)
	if w.version >= 5 {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if p.Aborted == nil {
		dst = appendCount(dst, flexible, -1)
	} else {
		dst = appendCount(dst, flexible, len(p.Aborted))
	}
	for _, a := range p.Aborted {
		dst = appendInt64(dst, a.ProducerID)
		dst = appendInt64(dst, a.FirstOffset)
		if flexible {
			dst = append(dst, 0)
		}
	}
	if w.version >= 11 {
		dst = appendInt32(dst, p.PreferredReadReplica)
	}
	return appendCount(dst, flexible, recordsLen)
}

// PartitionEnd writes what follows the records.
func (w *FetchResponseWriter) PartitionEnd(dst []byte) []byte {
	if !w.flexible() {
		return dst
	}
	p := &w.result
	tags := len(dst)
	dst = append(dst, 0)
	if p.DivergingEpoch >= 0 {
		dst[tags]++
		dst = append(dst, divergingEpochTag, 4+8+1)
		dst = appendInt32(dst, p.DivergingEpoch)
		dst = appendInt64(dst, p.DivergingEndOffset)
		dst = append(dst, 0)
	}
	if p.LeaderID >= 0 {
		dst[tags]++
		dst = append(dst, fetchCurrentLeaderTag, 4+4+1)
		dst = appendInt32(dst, p.LeaderID)
		dst = appendInt32(dst, p.LeaderEpoch)
		dst = append(dst, 0)
	}
	return dst
}

// TopicEnd ends a topic.
func (w *FetchResponseWriter) TopicEnd(dst []byte) []byte {
	if w.flexible() {
		dst = append(dst, 0)
	}
	return dst
}

// End ends the response. endpoints are the nodes that partitions name as leaders (from v16 on).
func (w *FetchResponseWriter) End(dst []byte, endpoints []NodeEndpoint) []byte {
	switch {
	case w.version >= 16:
		dst = appendNodeEndpoints(dst, endpoints)
	case w.flexible():
		dst = append(dst, 0)
	}
	return dst
}
