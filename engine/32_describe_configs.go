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

// DescribeConfigs (key 32) 1 to 4, AlterConfigs (key 33) 0 to 2, IncrementalAlterConfigs (key 44) 0 to 1, for topics and brokers. Values
// are changed by the controller; what a key is worth here is the first of its synonyms: topic, dynamic broker, dynamic default, static,
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
		if img.Topic(ask.ResourceName) == nil {
			return fail(kproto.UnknownTopicOrPartition, "topic "+ask.ResourceName+" does not exist")
		}
		described = b.topicConfigs(img, ask.ResourceName)
	case kraft.BrokerConfig:
		if ask.ResourceName == "" {
			described = clusterDefaults(img)
			break
		}
		if id, err := strconv.Atoi(ask.ResourceName); err != nil || int32(id) != b.cfg.NodeID {
			return fail(kproto.InvalidRequest, "this is broker "+strconv.Itoa(int(b.cfg.NodeID))+"; ask broker "+ask.ResourceName+" itself")
		}
		described = b.brokerConfigs(img)
	default:
		return fail(kproto.InvalidRequest, "resource type "+strconv.Itoa(int(ask.ResourceType))+" has no configuration here; known are 2 (topic) and 4 (broker)")
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
		dc.values = append(dc.values, configValue{name: defaultName(d), value: d.Default, null: d.Null, source: kmsg.ConfigSourceDefaultConfig})
		out = append(out, dc)
	}
	return out
}

// defaultName is the key under which Kafka shows a topic key's default: its strongest broker synonym.
func defaultName(d *config.Def) string {
	if s := config.TopicSynonyms(d.Name); len(s) > 0 {
		return s[0].Key
	}
	return d.Name
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
		dc.values = append(dc.values, configValue{name: d.Name, value: d.Default, null: null, source: kmsg.ConfigSourceDefaultConfig})
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

// alterConfigs serves both ways of changing configurations: the controller decides.
func alterConfigs(r *request) {
	ctx, cancel := context.WithTimeout(r.broker.ctx, r.broker.cfg.Quorum.RequestTimeout)
	defer cancel()
	resp, code, message := r.broker.forward(ctx, r.body)
	if code == kproto.None {
		r.reply(resp)
		return
	}
	switch req := r.body.(type) {
	case *kmsg.AlterConfigsRequest:
		out := kmsg.NewPtrAlterConfigsResponse()
		for i := range req.Resources {
			x := kmsg.NewAlterConfigsResponseResource()
			x.ErrorCode, x.ErrorMessage, x.ResourceType, x.ResourceName = int16(code), &message, req.Resources[i].ResourceType, req.Resources[i].ResourceName
			out.Resources = append(out.Resources, x)
		}
		r.reply(out)
	case *kmsg.IncrementalAlterConfigsRequest:
		out := kmsg.NewPtrIncrementalAlterConfigsResponse()
		for i := range req.Resources {
			x := kmsg.NewIncrementalAlterConfigsResponseResource()
			x.ErrorCode, x.ErrorMessage, x.ResourceType, x.ResourceName = int16(code), &message, req.Resources[i].ResourceType, req.Resources[i].ResourceName
			out.Resources = append(out.Resources, x)
		}
		r.reply(out)
	}
}
