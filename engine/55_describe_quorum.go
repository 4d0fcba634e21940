package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeQuorum (key 55) 0 to 2, UnregisterBroker (key 64) 0, AddRaftVoter (key 80) 0 to 1, RemoveRaftVoter (key 81) 0: answered by the active
// controller. Different from Kafka: AddRaftVoter always waits until the new voter has caught up and the change is committed (AckWhenCommitted of version 1
// is taken for true), and a voter that leads can be removed: it hands its leadership over first.

// minVoterWait is the least time that a change of the quorum gets: the leadership may have to move first.
const minVoterWait = 30_000

func describeQuorum(r *request) {
	r.passOn(minVoterWait, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrDescribeQuorumResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		resp.Topics, resp.Nodes = []kmsg.DescribeQuorumResponseTopic{}, []kmsg.DescribeQuorumResponseNode{}
		return resp
	})
}

func unregisterBroker(r *request) {
	r.passOn(minVoterWait, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrUnregisterBrokerResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	})
}

func addRaftVoter(r *request) {
	req := r.body.(*kmsg.AddRaftVoterRequest)
	r.passOn(max(req.TimeoutMillis, minVoterWait), func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrAddRaftVoterResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	})
}

func removeRaftVoter(r *request) {
	r.passOn(minVoterWait, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrRemoveRaftVoterResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		return resp
	})
}
