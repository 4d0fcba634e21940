package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ElectLeaders (key 43) 0 to 2, AlterPartitionReassignments (key 45) 0 to 1, ListPartitionReassignments (key 46) 0: decided by the active
// controller. Different from Kafka: a reassignment names one broker, which leads at once; it is listed as long as the
// old leader has not handed the partition over, and a fenced broker cannot be the target.

func electLeaders(r *request) {
	req := r.body.(*kmsg.ElectLeadersRequest)
	r.passOn(req.TimeoutMillis, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrElectLeadersResponse()
		resp.ErrorCode = code
		resp.Topics = []kmsg.ElectLeadersResponseTopic{}
		for i := range req.Topics {
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = req.Topics[i].Topic
			for _, index := range req.Topics[i].Partitions {
				p := kmsg.NewElectLeadersResponseTopicPartition()
				p.Partition, p.ErrorCode, p.ErrorMessage = index, code, message
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	})
}

func alterReassignments(r *request) {
	r.passOn(r.body.(*kmsg.AlterPartitionAssignmentsRequest).TimeoutMillis, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		resp.Topics = []kmsg.AlterPartitionAssignmentsResponseTopic{}
		return resp
	})
}

func listReassignments(r *request) {
	r.passOn(r.body.(*kmsg.ListPartitionReassignmentsRequest).TimeoutMillis, func(code int16, message *string) kmsg.Response {
		resp := kmsg.NewPtrListPartitionReassignmentsResponse()
		resp.ErrorCode, resp.ErrorMessage = code, message
		resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{}
		return resp
	})
}
