package kraft

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// maxConfigValue is Kafka's bound on the length of a value.
const maxConfigValue = 32767

// checkConfig judges one value that is to be set explicitly.
func (t *tx) checkConfig(res ConfigResource, key, value string) kafkaError {
	d := t.c.opts.Defaults
	if key == "" {
		return kafkaError{kafkaInvalidConfig, "A configuration key is empty."}
	}
	if len(value) > maxConfigValue {
		return kafkaError{kafkaInvalidConfig, fmt.Sprintf("The value of %q has %d bytes, the most is %d.", key, len(value), maxConfigValue)}
	}
	var err error
	switch {
	case res.Type == TopicConfig && d.ValidateTopicConfig != nil:
		err = d.ValidateTopicConfig(key, value)
	case res.Type == GroupConfig && d.ValidateGroupConfig != nil:
		err = d.ValidateGroupConfig(key, value)
	case res.Type == BrokerConfig && d.ValidateBrokerConfig != nil:
		err = d.ValidateBrokerConfig(res.Name, key, value)
	case res.Type == ClientMetricsConfig && d.ValidateClientMetrics != nil:
		err = d.ValidateClientMetrics(key, value)
	}
	var badRequest interface{ InvalidRequest() bool }
	switch {
	case err != nil && res.Type == BrokerConfig, errors.As(err, &badRequest) && badRequest.InvalidRequest():
		return kafkaError{kafkaInvalidRequest, err.Error()}
	case err != nil:
		return kafkaError{kafkaInvalidConfig, err.Error()}
	}
	return kafkaError{}
}

// configResource checks that the resource exists and may be configured.
func (t *tx) configResource(typ kmsg.ConfigResourceType, name string) (ConfigResource, kafkaError) {
	res := ConfigResource{Type: ConfigType(typ), Name: name}
	switch res.Type {
	case TopicConfig:
		if t.img().Topic(name) == nil {
			return res, kafkaError{kafkaUnknownTopic, fmt.Sprintf("Topic %q does not exist.", name)}
		}
	case BrokerConfig:
		if name == "" {
			break
		}
		id, err := strconv.ParseInt(name, 10, 32)
		if err != nil || strconv.FormatInt(id, 10) != name {
			return res, kafkaError{kafkaInvalidRequest, fmt.Sprintf("%q is not a broker id.", name)}
		}
		if t.img().Broker(int32(id)) == nil {
			return res, kafkaError{kafkaBrokerNotRegistered, fmt.Sprintf("Broker %d is not registered.", id)}
		}
	case ClientMetricsConfig:
		if name == "" {
			return res, kafkaError{kafkaInvalidRequest, "Subscription name can't be empty"}
		}
	case GroupConfig: // groups are known to their coordinators only; one may be configured before it exists
		if name == "" {
			return res, kafkaError{kafkaInvalidRequest, "Default group resources are not allowed."}
		}
	default:
		return res, kafkaError{kafkaInvalidRequest, fmt.Sprintf("Resources of type %d cannot be configured.", typ)}
	}
	return res, kafkaError{}
}

// resourceKey names a resource as it came in.
type resourceKey struct {
	typ  kmsg.ConfigResourceType
	name string
}

// eachResource alters the resources of a request and answers once for each; one that is named more than once is not altered.
func eachResource[R any](resources []R, keyOf func(*R) resourceKey, alter func(*R) kafkaError, answer func(resourceKey, kafkaError)) {
	count := make(map[resourceKey]int, len(resources))
	for i := range resources {
		count[keyOf(&resources[i])]++
	}
	for i := range resources {
		key := keyOf(&resources[i])
		switch count[key] {
		case 0: // answered
			continue
		case 1:
			answer(key, alter(&resources[i]))
		default:
			answer(key, kafkaError{kafkaInvalidRequest, "The resource is in the request more than once."})
		}
		count[key] = 0
	}
}

func (t *tx) incrementalAlterConfigs(r *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, 0, len(r.Resources))
	eachResource(r.Resources, func(res *kmsg.IncrementalAlterConfigsRequestResource) resourceKey {
		return resourceKey{res.ResourceType, res.ResourceName}
	}, func(res *kmsg.IncrementalAlterConfigsRequestResource) kafkaError {
		return t.alterIncrementally(res, r.ValidateOnly)
	}, func(key resourceKey, e kafkaError) {
		resp.Resources = append(resp.Resources, kmsg.IncrementalAlterConfigsResponseResource{
			ErrorCode: e.code, ErrorMessage: e.message(), ResourceType: key.typ, ResourceName: key.name,
		})
	})
	return resp
}

func (t *tx) alterIncrementally(r *kmsg.IncrementalAlterConfigsRequestResource, validate bool) kafkaError {
	seen := make(map[string]bool, len(r.Configs))
	for _, c := range r.Configs {
		if seen[c.Name] {
			return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Key %q is in the request more than once.", c.Name)}
		}
		seen[c.Name] = true
		if c.Value == nil && c.Op != kmsg.IncrementalAlterConfigOpDelete {
			return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Null value for key %q.", c.Name)}
		}
	}
	res, e := t.configResource(r.ResourceType, r.ResourceName)
	if e.code != 0 {
		return e
	}
	next := t.img().ConfigMap(res)
	for _, c := range r.Configs {
		value := ""
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			value = *c.Value
		case kmsg.IncrementalAlterConfigOpDelete:
			if e := t.checkRemoval(res, c.Name, next); e.code != 0 {
				return e
			}
			delete(next, c.Name)
			continue
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			if value, e = t.editList(res, c.Name, *c.Value, next, c.Op == kmsg.IncrementalAlterConfigOpAppend); e.code != 0 {
				return e
			}
		default:
			return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Operation %d on key %q is not known.", c.Op, c.Name)}
		}
		if e := t.checkConfig(res, c.Name, value); e.code != 0 {
			return e
		}
		next[c.Name] = value
	}
	if !validate {
		t.replaceConfigs(res, next)
	}
	return kafkaError{}
}

// checkRemoval refuses to remove what cannot be set: read-only broker keys.
func (t *tx) checkRemoval(res ConfigResource, key string, present map[string]string) kafkaError {
	value, ok := present[key]
	judge := t.c.opts.Defaults.ValidateBrokerConfig
	if !ok || res.Type != BrokerConfig || judge == nil {
		return kafkaError{}
	}
	if err := judge(res.Name, key, value); errors.Is(err, ErrReadOnlyConfig) {
		return kafkaError{kafkaInvalidRequest, err.Error()}
	}
	return kafkaError{} // what is merely bad, as a newer program may think of an old value, goes
}

// editList appends to or subtracts from a comma-separated list. A key that is not set starts from its default.
func (t *tx) editList(res ConfigResource, key, value string, present map[string]string, add bool) (string, kafkaError) {
	var def string
	var list bool
	if f := t.c.opts.Defaults.ConfigList; f != nil {
		def, list = f(res.Type, key)
	}
	if !list {
		return "", kafkaError{kafkaInvalidConfig, fmt.Sprintf("Key %q is not a list: APPEND and SUBTRACT do not apply.", key)}
	}
	old, ok := present[key]
	if !ok {
		old = def
	}
	items := splitList(old)
	for _, v := range splitList(value) {
		at := slices.Index(items, v)
		switch {
		case add && at < 0:
			items = append(items, v)
		case !add && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ","), kafkaError{}
}

func splitList(s string) []string {
	var items []string
	for v := range strings.SplitSeq(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			items = append(items, v)
		}
	}
	return items
}

// replaceConfigs makes the explicit keys of a resource equal to next.
func (t *tx) replaceConfigs(res ConfigResource, next map[string]string) {
	for _, old := range t.img().Configs(res) {
		if _, ok := next[old.Key]; !ok {
			t.add(&record.ConfigRemoved{Resource: res, Key: old.Key})
		}
	}
	for _, k := range sortedKeys(next) {
		if old, ok := t.img().Config(res, k); !ok || old != next[k] {
			t.add(&record.ConfigSet{Resource: res, Key: k, Value: next[k]})
		}
	}
}

func (t *tx) alterConfigs(r *kmsg.AlterConfigsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AlterConfigsResponse)
	resp.Resources = make([]kmsg.AlterConfigsResponseResource, 0, len(r.Resources))
	eachResource(r.Resources, func(res *kmsg.AlterConfigsRequestResource) resourceKey {
		return resourceKey{res.ResourceType, res.ResourceName}
	}, func(res *kmsg.AlterConfigsRequestResource) kafkaError {
		return t.alterWhole(res, r.ValidateOnly)
	}, func(key resourceKey, e kafkaError) {
		resp.Resources = append(resp.Resources, kmsg.AlterConfigsResponseResource{
			ErrorCode: e.code, ErrorMessage: e.message(), ResourceType: key.typ, ResourceName: key.name,
		})
	})
	return resp
}

func (t *tx) alterWhole(r *kmsg.AlterConfigsRequestResource, validate bool) kafkaError {
	next := make(map[string]string, len(r.Configs))
	for _, c := range r.Configs {
		if _, dup := next[c.Name]; dup {
			return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Key %q is in the request more than once.", c.Name)}
		}
		if c.Value == nil {
			return kafkaError{kafkaInvalidRequest, fmt.Sprintf("Null value for key %q.", c.Name)}
		}
		next[c.Name] = *c.Value
	}
	res, e := t.configResource(r.ResourceType, r.ResourceName)
	if e.code != 0 {
		return e
	}
	for _, k := range sortedKeys(next) {
		if e := t.checkConfig(res, k, next[k]); e.code != 0 {
			return e
		}
	}
	if !validate {
		t.replaceConfigs(res, next)
	}
	return kafkaError{}
}
