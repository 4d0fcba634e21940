package kproto

// Produce responses, versions 3 to 13.
//
//	v5 log start offset   v8 record errors and message   v9 flexible   v10 current leader, node endpoints   v13 topic ids

// ProduceResult is the outcome for one partition. FailedProduce makes one for an error.
type ProduceResult struct {
	ErrorCode      ErrorCode
	BaseOffset     int64         // -1 on error
	LogAppendTime  int64         // milliseconds; -1 unless the topic stamps batches itself
	LogStartOffset int64         // -1 when not known
	RecordErrors   []RecordError // the records that spoiled the batch
	ErrorMessage   string        // empty is null
	// LeaderID and LeaderEpoch tell the client who leads instead. Sent with an error only, and only when LeaderID >= 0.
	LeaderID, LeaderEpoch int32
}

// RecordError is what is wrong with one record of a batch.
type RecordError struct {
	BatchIndex int32  // index of the record in the batch, from 0
	Message    string // empty is null
}

// FailedProduce is the result of a partition to which nothing was appended.
func FailedProduce(code ErrorCode, message string) ProduceResult {
	return ProduceResult{ErrorCode: code, ErrorMessage: message, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, LeaderID: -1, LeaderEpoch: -1}
}

const currentLeaderTag = 0 // in a partition of a Produce response

// AppendProduceResponse appends the response body. results is parallel to req.Partitions; of req only topics and partition indexes
// are used. endpoints are the nodes that the results name as leaders (from v10 on).
//
// REQUIRES: len(results) == len(req.Partitions)
func AppendProduceResponse(dst []byte, version int16, req *ProduceRequest, results []ProduceResult, endpoints []NodeEndpoint, throttleMillis int32) []byte {
	if len(results) != len(req.Partitions) {
		panic("BUG: kproto: Produce results do not match the request")
	}
	flexible := version >= 9
	dst = appendCount(dst, flexible, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		if version >= 13 {
			dst = append(dst, t.ID[:]...)
		} else {
			dst = appendString(dst, flexible, t.Name)
		}
		dst = appendCount(dst, flexible, t.Count)
		for j := t.First; j < t.First+t.Count; j++ {
			dst = appendProduceResult(dst, version, req.Partitions[j].Index, &results[j])
		}
		if flexible {
			dst = append(dst, 0)
		}
	}
	dst = appendInt32(dst, throttleMillis)
	switch {
	case version >= 10:
		dst = appendNodeEndpoints(dst, endpoints)
	case flexible:
		dst = append(dst, 0)
	}
	return dst
}

func appendProduceResult(dst []byte, version int16, index int32, res *ProduceResult) []byte {
	flexible := version >= 9
	dst = appendInt32(dst, index)
	dst = appendInt16(dst, int16(res.ErrorCode))
	dst = appendInt64(dst, res.BaseOffset)
	dst = appendInt64(dst, res.LogAppendTime)
	if version >= 5 {
		dst = appendInt64(dst, res.LogStartOffset)
	}
	if version >= 8 {
		dst = appendCount(dst, flexible, len(res.RecordErrors))
		for k := range res.RecordErrors {
			e := &res.RecordErrors[k]
			dst = appendInt32(dst, e.BatchIndex)
			dst = appendNullableString(dst, flexible, e.Message)
			if flexible {
				dst = append(dst, 0)
			}
		}
		dst = appendNullableString(dst, flexible, res.ErrorMessage)
	}
	switch {
	case version >= 10 && res.LeaderID >= 0 && res.ErrorCode != None:
		dst = append(dst, 1, currentLeaderTag, 4+4+1)
		dst = appendInt32(dst, res.LeaderID)
		dst = appendInt32(dst, res.LeaderEpoch)
		dst = append(dst, 0)
	case flexible:
		dst = append(dst, 0)
	}
	return dst
}
