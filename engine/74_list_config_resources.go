package engine

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// ListConfigResources (key 74), versions 0 to 1: what has a configuration that can be described. Version 0 is ListClientMetricsResources, and lists subscriptions of
// client metrics only. Different from Kafka: groups are listed when something is configured for them, also those that this broker does not coordinate.

// listedTypes are the types of resources in the order of Kafka's answer.
var listedTypes = []kmsg.ConfigResourceType{
	kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger, kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig,
}

func listConfigResources(r *request) {
	req, img := r.body.(*kmsg.ListConfigResourcesRequest), r.broker.node.Image()
	resp := kmsg.NewPtrListConfigResourcesResponse()
	resp.ConfigResources = []kmsg.ListConfigResourcesResponseConfigResource{}
	wanted := map[kmsg.ConfigResourceType]bool{}
	for _, t := range req.ResourceTypes {
		wanted[kmsg.ConfigResourceType(t)] = true
	}
	for t := range wanted {
		if !listable(t) {
			resp.ErrorCode = int16(kproto.UnsupportedVersion)
			r.reply(resp)
			return
		}
	}
	if r.header.Version == 0 {
		wanted = map[kmsg.ConfigResourceType]bool{kmsg.ConfigResourceTypeClientMetrics: true}
	}
	for _, t := range listedTypes {
		if len(wanted) > 0 && !wanted[t] {
			continue
		}
		configured(img, t, func(name string) {
			out := kmsg.NewListConfigResourcesResponseConfigResource()
			out.Name, out.Type = name, int8(t)
			resp.ConfigResources = append(resp.ConfigResources, out)
		})
	}
	r.reply(resp)
}

func listable(t kmsg.ConfigResourceType) bool {
	for _, known := range listedTypes {
		if t == known {
			return true
		}
	}
	return false
}

// configured calls fn with the name of every resource of a type.
func configured(img *kraft.Image, t kmsg.ConfigResourceType, fn func(name string)) {
	switch t {
	case kmsg.ConfigResourceTypeTopic:
		img.Topics(func(t *kraft.Topic) bool { fn(t.Name); return true })
	case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
		img.Brokers(func(kb *kraft.Broker) bool { fn(strconv.Itoa(int(kb.ID))); return true })
	default:
		img.ConfigResourcesOf(kraft.ConfigType(t), func(res kraft.ConfigResource) bool { fn(res.Name); return true })
	}
}
