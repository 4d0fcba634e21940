package engine

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/loglevel"
)

// rootLogger is the only logger: its level is that of the whole node. A change lasts until the node ends, as in Kafka (KIP-412).
const rootLogger = "root"

// describeLoggers lists the levels of the loggers. refused is why that is not for this broker to say; "" when it is.
func (b *Broker) describeLoggers(req *kmsg.DescribeConfigsRequest, ask *kmsg.DescribeConfigsRequestResource) (configs []kmsg.DescribeConfigsResponseResourceConfig, refused string) {
	configs = []kmsg.DescribeConfigsResponseResourceConfig{}
	switch id, err := strconv.Atoi(ask.ResourceName); {
	case ask.ResourceName == "":
		return configs, "Broker id must not be empty"
	case err != nil:
		return configs, "Broker id must be an integer, but it is: " + ask.ResourceName
	case int32(id) != b.cfg.NodeID:
		return configs, fmt.Sprintf("Unexpected broker id, expected %d but received %d", b.cfg.NodeID, id)
	}
	level := loglevel.Of(b.log)
	if level == nil || len(ask.ConfigNames) > 0 && !slices.Contains(ask.ConfigNames, rootLogger) {
		return configs, ""
	}
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.Source = rootLogger, kmsg.StringPtr(level.String()), kmsg.ConfigSourceDynamicBrokerLoggerConfig
	c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeDocumentation {
		c.Documentation = kmsg.StringPtr("Least level of what the node writes to its log.")
	}
	return append(configs, c), ""
}

// alterLoggers changes levels, all that a resource of req names or none; code and message are why not.
func (b *Broker) alterLoggers(req *kmsg.IncrementalAlterConfigsRequest, rr *kmsg.IncrementalAlterConfigsRequestResource) (code kproto.ErrorCode, message string) {
	same := 0
	for i := range req.Resources {
		if o := &req.Resources[i]; o.ResourceType == rr.ResourceType && o.ResourceName == rr.ResourceName {
			same++
		}
	}
	if same > 1 {
		return kproto.InvalidRequest, "Each resource must appear at most once."
	}
	switch id, err := strconv.Atoi(rr.ResourceName); {
	case err != nil:
		return kproto.InvalidRequest, "Node id must be an integer, but it is: " + rr.ResourceName
	case int32(id) != b.cfg.NodeID:
		return kproto.InvalidRequest, fmt.Sprintf("Unexpected node id. Expected %d, but received %d", b.cfg.NodeID, id)
	}
	level := loglevel.Of(b.log)
	names := make(map[string]bool)
	for i := range rr.Configs {
		if names[rr.Configs[i].Name] {
			return kproto.InvalidRequest, "Error due to duplicate config keys"
		}
		names[rr.Configs[i].Name] = true
	}
	for i := range rr.Configs {
		if code, message := loggerRefused(&rr.Configs[i], level != nil); code != kproto.None {
			return code, message
		}
	}
	if req.ValidateOnly || len(rr.Configs) == 0 {
		return kproto.None, ""
	}
	was, now := level.String(), *rr.Configs[0].Value // there is one logger, and no key twice
	note := func() { b.log.Info("level of the log changed", "logger", rootLogger, "from", was, "to", now) }
	written := b.log.Enabled(b.ctx, slog.LevelInfo)
	if written { // perhaps it is not any more after the change
		note()
	}
	level.Set(now)
	if !written {
		note()
	}
	return kproto.None, ""
}

// loggerRefused judges one change.
func loggerRefused(c *kmsg.IncrementalAlterConfigsRequestResourceConfig, known bool) (code kproto.ErrorCode, message string) {
	known = known && c.Name == rootLogger
	switch {
	case c.Op == kmsg.IncrementalAlterConfigOpAppend || c.Op == kmsg.IncrementalAlterConfigOpSubtract:
		return kproto.InvalidRequest, c.Op.String() + " operation is not allowed for the BROKER_LOGGER resource"
	case !known:
		return kproto.InvalidConfig, "Logger " + c.Name + " does not exist!"
	case c.Op == kmsg.IncrementalAlterConfigOpDelete:
		return kproto.InvalidRequest, "Removing the log level of the " + rootLogger + " logger is not allowed"
	case c.Op != kmsg.IncrementalAlterConfigOpSet:
		return kproto.InvalidRequest, fmt.Sprintf("Unknown operation type %d is not allowed for the BROKER_LOGGER resource", c.Op)
	case c.Value == nil:
		return kproto.InvalidRequest, "Null value not supported for :" + c.Name
	case !loglevel.Valid(*c.Value):
		return kproto.InvalidConfig, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are %s", c.Name, *c.Value, strings.Join(loglevel.Names, ", "))
	}
	return kproto.None, ""
}
