package engine

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeConfigs (key 32) 1 to 4, AlterConfigs (key 33) 0 to 2, IncrementalAlterConfigs (key 44) 0 to 1, for topics, groups, brokers and, but for key 33, their
// loggers. Values are changed by the controller; what a key is worth here is the first of its synonyms: topic, dynamic broker, dynamic default, static,
// default.

func describeConfigs(r *request) {
	req, b := r.body.(*kmsg.DescribeConfigsRequest), r.broker
	resp := kmsg.NewPtrDescribeConfigsResponse()
	resp.Resources = []kmsg.DescribeConfigsResponseResource{}
	img := b.node.Image()
	for i := range req.Resources {
		resp.Resources = append(resp.Resources, b.describeResource(img, req, &req.Resources[i]))
	}
	r.reply(resp)
}

func (b *Broker) describeResource(img *kraft.Image, req *kmsg.DescribeConfigsRequest, ask *kmsg.DescribeConfigsRequestResource) kmsg.DescribeConfigsResponseResource {
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = ask.ResourceType, ask.ResourceName
	out.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
	fail := func(code kproto.ErrorCode, message string) kmsg.DescribeConfigsResponseResource {
		out.ErrorCode, out.ErrorMessage = int16(code), &message
		return out
	}
	var described []describedConfig
	switch kraft.ConfigType(ask.ResourceType) {
	case kraft.TopicConfig:
		if !kraft.ValidTopicName(ask.ResourceName) {
			return fail(kproto.InvalidTopicException, "topic name "+strconv.Quote(ask.ResourceName)+" is illegal")
		}
		if img.Topic(ask.ResourceName) == nil {
			return fail(kproto.UnknownTopicOrPartition, "topic "+ask.ResourceName+" does not exist")
		}
		described = b.topicConfigs(img, ask.ResourceName)
	case kraft.GroupConfig:
		if ask.ResourceName == "" {
			return fail(kproto.InvalidRequest, "Group name must not be empty")
		}
		described = b.groupConfigs(img, ask.ResourceName)
	case kraft.BrokerConfig:
		if ask.ResourceName == "" {
			described = clusterDefaults(img)
			break
		}
		if id, err := strconv.Atoi(ask.ResourceName); err != nil || int32(id) != b.cfg.NodeID {
			return fail(kproto.InvalidRequest, "this is broker "+strconv.Itoa(int(b.cfg.NodeID))+"; ask broker "+ask.ResourceName+" itself")
		}
		described = b.brokerConfigs(img)
	case kraft.ClientMetricsConfig:
		if ask.ResourceName == "" {
			return fail(kproto.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		described = describeClientMetrics(img, ask.ResourceName)
	case kraft.ConfigType(kmsg.ConfigResourceTypeBrokerLogger):
		var refused string
		if out.Configs, refused = b.describeLoggers(req, ask); refused != "" {
			return fail(kproto.InvalidRequest, refused)
		}
		return out
	default:
		return fail(kproto.InvalidRequest, "resource type "+strconv.Itoa(int(ask.ResourceType))+
			" has no configuration here; known are 2 (topic), 4 (broker), 8 (broker logger), 16 (client metrics) and 32 (group)")
	}
	slices.SortFunc(described, func(x, y describedConfig) int { return cmp.Compare(x.def.Name, y.def.Name) })
	for i := range described {
		d := &described[i]
		if len(ask.ConfigNames) == 0 || slices.Contains(ask.ConfigNames, d.def.Name) {
			out.Configs = append(out.Configs, d.encode(req))
		}
	}
	return out
}

// configValue is one of the values that a key has, with where it comes from.
type configValue struct {
	name   string
	value  string
	null   bool
	hidden bool // not among the synonyms
	source kmsg.ConfigSource
}

// describedConfig is a key with all its values, the effective one first.
type describedConfig struct {
	def      *config.Def
	values   []configValue
	readOnly bool
}

func (d *describedConfig) encode(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	first := &d.values[0]
	c.Name, c.Source, c.ReadOnly, c.IsSensitive = d.def.Name, first.source, d.readOnly, d.def.Sensitive()
	c.IsDefault = first.source == kmsg.ConfigSourceDefaultConfig
	c.Value = first.shown(d.def)
	c.ConfigType = kmsg.ConfigType(d.def.Type)
	c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeSynonyms {
		for i := range d.values {
			v := &d.values[i]
			if v.hidden {
				continue
			}
			s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			s.Name, s.Value, s.Source = v.name, v.shown(d.def), v.source
			c.ConfigSynonyms = append(c.ConfigSynonyms, s)
		}
	}
	if req.IncludeDocumentation {
		doc := d.def.Doc
		c.Documentation = &doc
	}
	return c
}

// shown is the value as clients may see it: a secret is null.
func (v *configValue) shown(d *config.Def) *string {
	if v.null || d.Sensitive() {
		return nil
	}
	value := v.value
	return &value
}

// topicConfigs lists every topic key with its effective value.
func (b *Broker) topicConfigs(img *kraft.Image, name string) []describedConfig {
	own := kraft.TopicResource(name)
	var out []describedConfig
	for _, d := range config.TopicDefs() {
		value, set := img.Config(own, d.Name)
		if !set && !d.Listed() {
			continue
		}
		dc := describedConfig{def: d}
		if set {
			dc.values = append(dc.values, configValue{name: d.Name, value: value, source: kmsg.ConfigSourceDynamicTopicConfig})
		}
		for _, s := range config.TopicSynonyms(d.Name) {
			dc.values = b.appendBrokerValues(dc.values, img, s.Key, s.Scale)
		}
		dc.values = append(dc.values, topicDefault(d))
		out = append(out, dc)
	}
	return out
}

// groupConfigs lists every group key with its effective value. The group need not exist.
func (b *Broker) groupConfigs(img *kraft.Image, name string) []describedConfig {
	own := kraft.ConfigResource{Type: kraft.GroupConfig, Name: name}
	var out []describedConfig
	for _, d := range config.GroupDefs() {
		dc := describedConfig{def: d}
		if value, set := img.Config(own, d.Name); set {
			dc.values = append(dc.values, configValue{name: d.Name, value: value, source: kmsg.ConfigSourceGroupConfig})
		}
		name, ok := config.GroupSynonym(d.Name)
		if ok {
			dc.values = b.appendBrokerValues(dc.values, img, name, 1)
		} else {
			name = d.Name
		}
		dc.values = append(dc.values, configValue{name: name, value: d.Default, source: kmsg.ConfigSourceDefaultConfig})
		out = append(out, dc)
	}
	return out
}

// topicDefault is a topic key's default as Kafka shows it: under the name of its strongest broker synonym, and among the synonyms only if
// there is one with a default of its own (log.retention.ms has none).
func topicDefault(d *config.Def) configValue {
	v := configValue{name: d.Name, value: d.Default, null: d.Null, hidden: true, source: kmsg.ConfigSourceDefaultConfig}
	if synonyms := config.TopicSynonyms(d.Name); len(synonyms) > 0 {
		v.name = synonyms[0].Key
		broker, ok := config.BrokerDef(v.name)
		v.hidden = !ok || broker.Null
	}
	return v
}

// appendBrokerValues adds what a broker key has been given: dynamically for this broker, for all, statically.
func (b *Broker) appendBrokerValues(values []configValue, img *kraft.Image, key string, scale int64) []configValue {
	if v, ok := img.Config(kraft.BrokerResource(b.cfg.NodeID), key); ok {
		values = append(values, configValue{name: key, value: config.Scale(v, scale), source: kmsg.ConfigSourceDynamicBrokerConfig})
	}
	if v, ok := img.Config(kraft.BrokerResource(-1), key); ok {
		values = append(values, configValue{name: key, value: config.Scale(v, scale), source: kmsg.ConfigSourceDynamicDefaultBrokerConfig})
	}
	if v, origin, _, ok := b.cfg.Lookup(key); ok && origin.Static() {
		values = append(values, configValue{name: key, value: config.Scale(v, scale), source: kmsg.ConfigSourceStaticBrokerConfig})
	}
	return values
}

// brokerConfigs lists every broker key with its effective value.
func (b *Broker) brokerConfigs(img *kraft.Image) []describedConfig {
	var out []describedConfig
	for d, setting := range b.cfg.All() {
		dc := describedConfig{def: d, readOnly: d.Scope == config.ReadOnly}
		dc.values = b.appendBrokerValues(nil, img, d.Name, 1)
		if len(dc.values) == 0 && !d.Listed() {
			continue
		}
		null := setting.Null
		if setting.Origin.Static() {
			null = d.Null
		}
		dc.values = append(dc.values, configValue{name: d.Name, value: d.Default, null: null, hidden: null, source: kmsg.ConfigSourceDefaultConfig})
		out = append(out, dc)
	}
	return out
}

// clusterDefaults lists the dynamic defaults of all brokers; nothing else is known of the resource "".
func clusterDefaults(img *kraft.Image) []describedConfig {
	var out []describedConfig
	for _, e := range img.Configs(kraft.BrokerResource(-1)) {
		if d, ok := config.BrokerDef(e.Key); ok {
			out = append(out, describedConfig{def: d, values: []configValue{{name: e.Key, value: e.Value, source: kmsg.ConfigSourceDynamicDefaultBrokerConfig}}})
		}
	}
	return out
}

// alterConfigs serves AlterConfigs: the controller decides, but what belongs to another broker is refused here.
func alterConfigs(r *request) {
	req, b := r.body.(*kmsg.AlterConfigsRequest), r.broker
	out := kmsg.NewPtrAlterConfigsResponse()
	out.Resources = []kmsg.AlterConfigsResponseResource{}
	answer := func(rr *kmsg.AlterConfigsRequestResource, code kproto.ErrorCode, message string) {
		x := kmsg.NewAlterConfigsResponseResource()
		x.ErrorCode, x.ErrorMessage, x.ResourceType, x.ResourceName = int16(code), &message, rr.ResourceType, rr.ResourceName
		out.Resources = append(out.Resources, x)
	}
	req.Resources = slices.DeleteFunc(req.Resources, func(rr kmsg.AlterConfigsRequestResource) bool {
		set := make(map[string]string)
		for _, c := range rr.Configs {
			if c.Value != nil {
				set[c.Name] = *c.Value
			}
		}
		message := cmp.Or(b.otherBroker(rr.ResourceType, rr.ResourceName), b.cleanerRefuses(rr.ResourceType, set))
		if message != "" {
			answer(&rr, kproto.InvalidRequest, message)
		}
		return message != ""
	})
	if len(req.Resources) > 0 {
		ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
		defer cancel()
		resp, code, message := b.forward(ctx, req)
		if code == kproto.None {
			out.Resources = append(out.Resources, resp.(*kmsg.AlterConfigsResponse).Resources...)
		} else {
			for i := range req.Resources {
				answer(&req.Resources[i], code, message)
			}
		}
	}
	r.reply(out)
}

// incrementalAlterConfigs is alterConfigs for the newer API.
func incrementalAlterConfigs(r *request) {
	req, b := r.body.(*kmsg.IncrementalAlterConfigsRequest), r.broker
	out := kmsg.NewPtrIncrementalAlterConfigsResponse()
	out.Resources = []kmsg.IncrementalAlterConfigsResponseResource{}
	answer := func(rr *kmsg.IncrementalAlterConfigsRequestResource, code kproto.ErrorCode, message string) {
		x := kmsg.NewIncrementalAlterConfigsResponseResource()
		x.ErrorCode, x.ResourceType, x.ResourceName = int16(code), rr.ResourceType, rr.ResourceName
		if code != kproto.None {
			x.ErrorMessage = &message
		}
		out.Resources = append(out.Resources, x)
	}
	for i := range req.Resources {
		if rr := &req.Resources[i]; rr.ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
			code, message := b.alterLoggers(req, rr)
			answer(rr, code, message)
		}
	}
	req.Resources = slices.DeleteFunc(req.Resources, func(rr kmsg.IncrementalAlterConfigsRequestResource) bool {
		if rr.ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
			return true
		}
		set := make(map[string]string)
		for _, c := range rr.Configs {
			if c.Op == kmsg.IncrementalAlterConfigOpSet && c.Value != nil {
				set[c.Name] = *c.Value
			}
		}
		message := cmp.Or(b.otherBroker(rr.ResourceType, rr.ResourceName), b.cleanerRefuses(rr.ResourceType, set))
		if message != "" {
			answer(&rr, kproto.InvalidRequest, message)
		}
		return message != ""
	})
	if len(req.Resources) > 0 {
		ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
		defer cancel()
		resp, code, message := b.forward(ctx, req)
		if code == kproto.None {
			out.Resources = append(out.Resources, resp.(*kmsg.IncrementalAlterConfigsResponse).Resources...)
		} else {
			for i := range req.Resources {
				answer(&req.Resources[i], code, message)
			}
		}
	}
	r.reply(out)
}

// otherBroker says why a change of a broker's configuration is not for this broker; "" when it is, or is no such change.
func (b *Broker) otherBroker(kind kmsg.ConfigResourceType, name string) string {
	if me := strconv.Itoa(int(b.cfg.NodeID)); kmsg.ConfigResourceType(kraft.BrokerConfig) == kind && name != "" && name != me {
		return "this is broker " + me + ": a change of broker " + strconv.Quote(name) + " goes to that one, a change of all of them to \"\""
	}
	return ""
}
