package engine

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/share"
	"github.com/ringmq/ringmq/engine/sharestate"
	"github.com/ringmq/ringmq/kraft"
)

// ShareAcknowledge (key 79), versions 1 to 2: what a member of a share group has done with its records. v2: renewed locks (KIP-1222). It is answered when that
// is durable.

func shareAcknowledge(r *request) {
	req, b := r.body.(*kmsg.ShareAcknowledgeRequest), r.broker
	resp := kmsg.NewPtrShareAcknowledgeResponse()
	fail := func(code kproto.ErrorCode, message string) {
		resp.ErrorCode = int16(code)
		if message != "" {
			resp.ErrorMessage = &message
		}
		r.reply(resp)
	}
	if !b.shareProtocol() {
		fail(kproto.UnsupportedVersion, "")
		return
	}
	if message := badShareMember(req.GroupID, req.MemberID); message != "" {
		fail(kproto.InvalidRequest, message)
		return
	}
	if req.ShareSessionEpoch == shareSessionBegin {
		fail(kproto.InvalidShareSessionEpoch, "")
		return
	}
	session, code := b.shares.find(shareMember{*req.GroupID, *req.MemberID}, req.ShareSessionEpoch)
	if code != kproto.None {
		fail(code, "")
		return
	}
	acks := make(map[sharePlace][]share.Ack)
	for i := range req.Topics {
		t := &req.Topics[i]
		for k := range t.Partitions {
			p := &t.Partitions[k]
			at := sharePlace{t.TopicID, p.Partition}
			acks[at] = append(acks[at], ackBatches(p)...)
		}
	}
	outcome := b.acknowledge(r, *req.GroupID, *req.MemberID, acks, req.Version >= 2, req.IsRenewAck)()
	if req.ShareSessionEpoch == shareSessionEnd {
		b.shares.end(session)
	}
	for _, t := range req.Topics {
		at := kmsg.NewShareAcknowledgeResponseTopic()
		at.TopicID = t.TopicID
		for _, p := range t.Partitions {
			ap := kmsg.NewShareAcknowledgeResponseTopicPartition()
			ap.Partition = p.Partition
			ap.ErrorCode, ap.ErrorMessage = said(outcome[sharePlace{t.TopicID, p.Partition}])
			if movedLeader(ap.ErrorCode) {
				ap.CurrentLeader.LeaderID, ap.CurrentLeader.LeaderEpoch = b.leaderOf("", t.TopicID, p.Partition)
				for _, e := range b.appendEndpoint(nil, ap.CurrentLeader.LeaderID, r.conn.listener) {
					n := kmsg.NewShareAcknowledgeResponseNodeEndpoint()
					n.NodeID, n.Host, n.Port = e.ID, e.Host, e.Port
					if e.Rack != "" {
						n.Rack = &e.Rack
					}
					resp.NodeEndpoints = append(resp.NodeEndpoints, n)
				}
			}
			at.Partitions = append(at.Partitions, ap)
		}
		resp.Topics = append(resp.Topics, at)
	}
	resp.AcquisitionLockTimeoutMillis = int32(b.shareLimits(*req.GroupID).LockMillis)
	r.reply(resp)
}

func ackBatches(p *kmsg.ShareAcknowledgeRequestTopicPartition) (out []share.Ack) {
	for _, x := range p.AcknowledgementBatches {
		out = append(out, share.Ack{First: x.FirstOffset, Last: x.LastOffset, Types: x.AcknowledgeTypes})
	}
	return out
}

// acknowledge begins what a member's acknowledgements change. The result waits until that is durable, and tells what came of each partition.
func (b *Broker) acknowledge(r *request, group, member string, acks map[sharePlace][]share.Ack, mayRenew, renews bool) (wait func() map[sharePlace]*sharestate.Error) {
	type outcome struct {
		place sharePlace
		err   *sharestate.Error
	}
	outcomes := make(chan outcome, len(acks))
	limits := b.shareLimits(group)
	for place, list := range acks {
		done := func(err *sharestate.Error) { outcomes <- outcome{place, err} }
		if err := b.mayAcknowledge(r, place, list, mayRenew, renews); err != nil {
			done(err)
			continue
		}
		if len(list) == 0 {
			done(nil)
			continue
		}
		sp := b.shares.known(sharestate.Key{Group: group, Topic: place.topic, Partition: place.index})
		if sp == nil {
			done(&sharestate.Error{Code: kproto.UnknownTopicOrPartition})
			continue
		}
		sp.change(func(records *share.Records) (share.Change, *share.Refusal) {
			return records.Acknowledge(member, nowMillis(), list, limits)
		}, func(err *sharestate.Error) {
			if err == nil {
				b.metrics.countAcks(list)
			}
			done(err)
		})
	}
	return func() map[sharePlace]*sharestate.Error {
		out := make(map[sharePlace]*sharestate.Error, len(acks))
		for range acks {
			o := <-outcomes
			out[o.place] = o.err
		}
		return out
	}
}

// mayAcknowledge judges acknowledgements of one partition by themselves.
func (b *Broker) mayAcknowledge(r *request, place sharePlace, list []share.Ack, mayRenew, renews bool) *sharestate.Error {
	t := b.node.Image().TopicByID(kraft.TopicID(place.topic))
	if t == nil {
		return &sharestate.Error{Code: kproto.UnknownTopicID, Message: "This server does not host this topic ID."}
	}
	highest := share.Reject
	if mayRenew {
		highest = share.Renew
	}
	previous := int64(-1)
	for _, a := range list {
		bad := a.First > a.Last || a.First < previous || len(a.Types) == 0 || len(a.Types) > 1 && int64(len(a.Types)) != a.Last-a.First+1
		for _, kind := range a.Types {
			bad = bad || kind < share.Gap || kind > highest || kind == share.Renew && !renews
		}
		if bad {
			return &sharestate.Error{Code: kproto.InvalidRequest, Message: "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."}
		}
		previous = a.Last
	}
	switch {
	case b.authorizer != nil && !r.conn.asker(b).topic(opRead, t.Name):
		return &sharestate.Error{Code: kproto.TopicAuthorizationFailed, Message: "Topic authorization failed."}
	case place.index < 0 || int(place.index) >= len(t.Partitions):
		return &sharestate.Error{Code: kproto.UnknownTopicOrPartition}
	}
	return nil
}
