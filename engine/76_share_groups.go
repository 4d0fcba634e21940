package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/group"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
)

// ShareGroupHeartbeat (key 76) 1 and ShareGroupDescribe (key 77) 1: share groups (KIP-932). The coordinator (package group) serves them; what members fetch is
// in 78_share_fetch.go.

// shareVersionFeature tells clients, with level 1, that there are share groups.
const shareVersionFeature = "share.version"

// shareProtocol says whether the cluster has share groups. At level 0 of the feature requests about them are UNSUPPORTED_VERSION.
func (b *Broker) shareProtocol() bool { return b.hasFeature(shareVersionFeature) }

func (b *Broker) shareOptions() group.ShareOptions {
	s := b.cfg.Share
	return group.ShareOptions{
		MaxSize: s.MaxSize, InitializeRetry: s.InitializeRetry,
		Config: func(name string) group.ShareConfig {
			own := b.groupConfig(name)
			return group.ShareConfig{
				SessionTimeout: own.millis("share.session.timeout.ms", s.SessionTimeout), HeartbeatInterval: own.millis("share.heartbeat.interval.ms", s.HeartbeatInterval),
				AssignmentInterval: own.millis("share.assignment.interval.ms", s.AssignmentInterval),
			}
		},
		Initialize: func(id string, stateEpoch int32, list []group.SharePartition, done func([]int16)) {
			b.eachShare(id, list, func(k sharestate.Key, p group.SharePartition) *sharestate.Error {
				return b.initializeShare(b.ctx, k, stateEpoch, p.Start)
			}, done)
		},
		Delete: func(id string, list []group.SharePartition, done func([]int16)) {
			b.eachShare(id, list, func(k sharestate.Key, _ group.SharePartition) *sharestate.Error { return b.deleteShare(b.ctx, k) }, done)
		},
	}
}

// shareLimits are the rules for the records of a share group.
func (b *Broker) shareLimits(name string) share.Limits {
	s, own := b.cfg.Share, b.groupConfig(name)
	return share.Limits{
		MaxLocks:      own.number("share.partition.max.record.locks", s.MaxLocks),
		MaxDeliveries: own.number("share.delivery.count.limit", s.MaxDeliveries),
		LockMillis:    own.millis("share.record.lock.duration.ms", s.LockDuration).Milliseconds(),
		Renew:         own.text("share.renew.acknowledge.enable") != "false",
	}
}

// shareCommitted says that a share group gets no records of transactions that are open or aborted.
func (b *Broker) shareCommitted(name string) bool {
	return b.groupConfig(name).text("share.isolation.level") == "read_committed"
}

// shareReset is where a share group begins to read a partition.
func (b *Broker) shareReset(name string) config.ShareReset {
	reset, _ := config.ParseShareReset(b.groupConfig(name).text("share.auto.offset.reset"))
	return reset
}

func shareGroupHeartbeat(r *request) {
	if !r.broker.shareProtocol() {
		resp := kmsg.NewPtrShareGroupHeartbeatResponse()
		resp.ErrorCode = int16(kproto.UnsupportedVersion)
		r.reply(resp)
		return
	}
	r.broker.groups.ShareGroupHeartbeat(r.client(), r.body.(*kmsg.ShareGroupHeartbeatRequest), r.reply)
}

func shareGroupDescribe(r *request) {
	req := r.body.(*kmsg.ShareGroupDescribeRequest)
	if !r.broker.shareProtocol() {
		resp := kmsg.NewPtrShareGroupDescribeResponse()
		for _, id := range req.GroupIDs {
			at := kmsg.NewShareGroupDescribeResponseGroup()
			at.GroupID, at.ErrorCode = id, int16(kproto.UnsupportedVersion)
			resp.Groups = append(resp.Groups, at)
		}
		r.reply(resp)
		return
	}
	r.broker.groups.ShareGroupDescribe(r.client(), req, func(resp kmsg.Response) {
		if req.IncludeAuthorizedOperations {
			groups := resp.(*kmsg.ShareGroupDescribeResponse).Groups
			for i := range groups {
				if groups[i].ErrorCode == 0 {
					groups[i].AuthorizedOperations = groupOperations
				}
			}
		}
		r.reply(resp)
	})
}
