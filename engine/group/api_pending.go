package group

import "github.com/twmb/franz-go/pkg/kmsg"

func (c *Coordinator) Join(client Client, req *kmsg.JoinGroupRequest, reply func(kmsg.Response)) {
	reply(&kmsg.JoinGroupResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) Sync(client Client, req *kmsg.SyncGroupRequest, reply func(kmsg.Response)) {
	reply(&kmsg.SyncGroupResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) Heartbeat(client Client, req *kmsg.HeartbeatRequest, reply func(kmsg.Response)) {
	reply(&kmsg.HeartbeatResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) Leave(client Client, req *kmsg.LeaveGroupRequest, reply func(kmsg.Response)) {
	reply(&kmsg.LeaveGroupResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) OffsetDelete(client Client, req *kmsg.OffsetDeleteRequest, reply func(kmsg.Response)) {
	reply(&kmsg.OffsetDeleteResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) ListGroups(client Client, req *kmsg.ListGroupsRequest, reply func(kmsg.Response)) {
	reply(&kmsg.ListGroupsResponse{Version: req.Version, ErrorCode: codeCoordinatorNotAvailable})
}

func (c *Coordinator) OffsetCommit(client Client, req *kmsg.OffsetCommitRequest, reply func(kmsg.Response)) {
	reply(&kmsg.OffsetCommitResponse{Version: req.Version})
}

func (c *Coordinator) OffsetFetch(client Client, req *kmsg.OffsetFetchRequest, reply func(kmsg.Response)) {
	reply(&kmsg.OffsetFetchResponse{Version: req.Version})
}

func (c *Coordinator) DescribeGroups(client Client, req *kmsg.DescribeGroupsRequest, reply func(kmsg.Response)) {
	reply(&kmsg.DescribeGroupsResponse{Version: req.Version})
}

func (c *Coordinator) DeleteGroups(client Client, req *kmsg.DeleteGroupsRequest, reply func(kmsg.Response)) {
	reply(&kmsg.DeleteGroupsResponse{Version: req.Version})
}
