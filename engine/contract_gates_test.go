package engine_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// errorCodes are the error codes of a response, from the outside in.
func errorCodes(v reflect.Value) (codes []kproto.ErrorCode) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return errorCodes(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			codes = append(codes, errorCodes(v.Index(i))...)
		}
	case reflect.Struct:
		if f := v.FieldByName("ErrorCode"); f.IsValid() {
			codes = append(codes, kproto.ErrorCode(f.Int()))
		}
		for i := range v.NumField() {
			codes = append(codes, errorCodes(v.Field(i))...)
		}
	}
	return codes
}

// TestFeatureGates: while a feature is at level 0, every request that belongs to it is UNSUPPORTED_VERSION, once for each group that it names.
func TestFeatureGates(t *testing.T) {
	x := contract(t)
	group := x.name()
	topic := x.topic(1)
	id := x.topicID(topic)
	x.coordinator(group)
	gates := map[string]map[string]kmsg.Request{
		"share.version": {
			"ShareGroupHeartbeat": func() kmsg.Request {
				r := kmsg.NewPtrShareGroupHeartbeatRequest()
				r.Version, r.GroupID, r.MemberID, r.SubscribedTopicNames = 1, group, "m", []string{topic}
				return r
			}(),
			"ShareGroupDescribe": func() kmsg.Request {
				r := kmsg.NewPtrShareGroupDescribeRequest()
				r.Version, r.GroupIDs = 1, []string{group, "other"}
				return r
			}(),
			"ShareFetch": x.shareMember(group).fetchRequest(id),
			"ShareAcknowledge": func() kmsg.Request {
				r := kmsg.NewPtrShareAcknowledgeRequest()
				r.Version, r.GroupID, r.MemberID = 1, &group, kmsg.StringPtr("m")
				return r
			}(),
			"DescribeShareGroupOffsets": func() kmsg.Request {
				r := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
				g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
				g.GroupID = group
				r.Groups = append(r.Groups, g)
				return r
			}(),
			"AlterShareGroupOffsets": func() kmsg.Request {
				r := kmsg.NewPtrAlterShareGroupOffsetsRequest()
				r.GroupID = group
				return r
			}(),
			"DeleteShareGroupOffsets": func() kmsg.Request {
				r := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
				r.GroupID = group
				return r
			}(),
		},
		"streams.version": {
			"StreamsGroupHeartbeat": func() kmsg.Request {
				r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
				r.Group, r.MemberID, r.RebalanceTimeoutMillis = group, "m", 60_000
				return r
			}(),
			"StreamsGroupDescribe": func() kmsg.Request {
				r := kmsg.NewPtrStreamsGroupDescribeRequest()
				r.Groups = []string{group, "other"}
				return r
			}(),
		},
		"group.version": {
			"ConsumerGroupHeartbeat": x.member(group).joining(topic),
			"ConsumerGroupDescribe": func() kmsg.Request {
				r := kmsg.NewPtrConsumerGroupDescribeRequest()
				r.Groups = []string{group, "other"}
				return r
			}(),
		},
	}
	for feature, requests := range gates {
		x.t.Cleanup(func() { x.setLevel(feature, 1) })
		x.setLevel(feature, 0)
		for name, req := range requests {
			codes := errorCodes(reflect.ValueOf(x.dial().request(req, 1)))
			if len(codes) == 0 || slices.ContainsFunc(codes, func(c kproto.ErrorCode) bool { return c != kproto.UnsupportedVersion }) {
				t.Errorf("%s at level 0 of %s: %v", name, feature, codes)
			}
		}
	}
}
