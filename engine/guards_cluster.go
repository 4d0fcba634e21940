package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// The guards of APIs about configurations, access control lists and the cluster.

// config says whether a resource's configuration may be described or altered, and the code if not.
func (a asker) config(op kmsg.ACLOperation, kind kmsg.ConfigResourceType, name string) (bool, int16) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		return a.topic(op, name), topicRefused
	case kmsg.ConfigResourceTypeGroupConfig:
		return a.group(op, name), groupRefused
	}
	return a.cluster(op), clusterRefused
}

func guardDescribeConfigs(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.DescribeConfigsRequest)
	var denied []kmsg.DescribeConfigsResponseResource
	req.Resources, denied = part(req.Resources, func(c *kmsg.DescribeConfigsRequestResource) bool {
		ok, _ := a.config(opDescribeConfigs, c.ResourceType, c.ResourceName)
		return ok
	}, func(c *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = c.ResourceType, c.ResourceName
		_, out.ErrorCode = a.config(opDescribeConfigs, c.ResourceType, c.ResourceName)
		return out
	})
	return complete(r, len(req.Resources), len(denied), func(p *kmsg.DescribeConfigsResponse) { p.Resources = append(p.Resources, denied...) })
}

func guardAlterConfigs(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.AlterConfigsRequest)
	var denied []kmsg.AlterConfigsResponseResource
	req.Resources, denied = part(req.Resources, func(c *kmsg.AlterConfigsRequestResource) bool {
		ok, _ := a.config(opAlterConfigs, c.ResourceType, c.ResourceName)
		return ok
	}, func(c *kmsg.AlterConfigsRequestResource) kmsg.AlterConfigsResponseResource {
		out := kmsg.NewAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = c.ResourceType, c.ResourceName
		_, out.ErrorCode = a.config(opAlterConfigs, c.ResourceType, c.ResourceName)
		return out
	})
	return complete(r, len(req.Resources), len(denied), func(p *kmsg.AlterConfigsResponse) { p.Resources = append(p.Resources, denied...) })
}

func guardIncrementalAlterConfigs(r *request, a asker) kmsg.Response {
	req := r.body.(*kmsg.IncrementalAlterConfigsRequest)
	var denied []kmsg.IncrementalAlterConfigsResponseResource
	req.Resources, denied = part(req.Resources, func(c *kmsg.IncrementalAlterConfigsRequestResource) bool {
		ok, _ := a.config(opAlterConfigs, c.ResourceType, c.ResourceName)
		return ok
	}, func(c *kmsg.IncrementalAlterConfigsRequestResource) kmsg.IncrementalAlterConfigsResponseResource {
		out := kmsg.NewIncrementalAlterConfigsResponseResource()
		out.ResourceType, out.ResourceName = c.ResourceType, c.ResourceName
		_, out.ErrorCode = a.config(opAlterConfigs, c.ResourceType, c.ResourceName)
		return out
	})
	return complete(r, len(req.Resources), len(denied), func(p *kmsg.IncrementalAlterConfigsResponse) { p.Resources = append(p.Resources, denied...) })
}

func guardDescribeCluster(r *request, a asker) kmsg.Response {
	r.amend = func(resp kmsg.Response) {
		p := resp.(*kmsg.DescribeClusterResponse)
		p.ClusterAuthorizedOperations = a.clusterOperations(p.ClusterAuthorizedOperations)
	}
	return nil
}

// refuseElection names the partitions too: version 0 has no other place for the error.
func refuseElection(r *request, resp *kmsg.ElectLeadersResponse) {
	resp.ErrorCode = clusterRefused
	for _, t := range r.body.(*kmsg.ElectLeadersRequest).Topics {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		for _, index := range t.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode = index, clusterRefused
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
}

func refuseACLCreations(r *request, resp *kmsg.CreateACLsResponse) {
	failACLCreations(r, resp, kproto.ClusterAuthorizationFailed, "Cluster authorization failed.")
}

func refuseACLDeletions(r *request, resp *kmsg.DeleteACLsResponse) {
	failACLDeletions(r, resp, kproto.ClusterAuthorizationFailed, "Cluster authorization failed.")
}

func refuseLogDirs(r *request, resp *kmsg.AlterReplicaLogDirsResponse) {
	for _, dir := range r.body.(*kmsg.AlterReplicaLogDirsRequest).Dirs {
		for _, t := range dir.Topics {
			out := kmsg.NewAlterReplicaLogDirsResponseTopic()
			out.Topic = t.Topic
			for _, index := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition, p.ErrorCode = index, clusterRefused
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
}
