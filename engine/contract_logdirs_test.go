package engine_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestDescribeLogDirsOfOddRequests: only what is there is described, once, however often it is named.
func TestDescribeLogDirsOfOddRequests(t *testing.T) {
	x := contract(t)
	a, b := x.topic(1), x.name()
	x.create(b, 3)
	named := func(topic string, partitions ...int32) kmsg.DescribeLogDirsRequestTopic {
		return kmsg.DescribeLogDirsRequestTopic{Topic: topic, Partitions: partitions}
	}
	for version := int16(1); version <= 4; version++ {
		for _, c := range []struct {
			what   string
			topics []kmsg.DescribeLogDirsRequestTopic
			want   string
		}{
			{"none", []kmsg.DescribeLogDirsRequestTopic{}, "[]"},
			{"partitions that there are not", []kmsg.DescribeLogDirsRequestTopic{named("absent", 0), named(b, -1, 1, 9), named(a)}, "[b1]"},
			{"a partition twice", []kmsg.DescribeLogDirsRequestTopic{named(b, 2, 2), named(b, 2)}, "[b2]"},
			{"a topic twice, another between", []kmsg.DescribeLogDirsRequestTopic{named(b, 0), named(a, 0), named(b, 2)}, "[a0 b0 b2]"},
		} {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			req.Version, req.Topics = version, c.topics
			var got []string
			for _, dir := range ask[*kmsg.DescribeLogDirsResponse](x, req).Dirs {
				for _, topic := range dir.Topics {
					for _, p := range topic.Partitions {
						got = append(got, fmt.Sprintf("%s%d", map[string]string{a: "a", b: "b"}[topic.Topic], p.Partition))
					}
				}
			}
			slices.Sort(got)
			if fmt.Sprint(got) != c.want {
				t.Errorf("%s, v%d: %v, want %s", c.what, version, got, c.want)
			}
		}
	}
}
