package config

import (
	"strconv"
	"strings"
	"time"
)

// Synonym is a broker key that gives a topic key its default. A value is multiplied by Scale: log.retention.hours is in hours,
// retention.ms in milliseconds.
type Synonym struct {
	Key   string
	Scale int64
}

const (
	minuteMillis = int64(time.Minute / time.Millisecond)
	hourMillis   = int64(time.Hour / time.Millisecond)
)

// TopicSynonyms returns the broker keys that give a topic key its default, the strongest first.
func TopicSynonyms(key string) []Synonym {
	one := func(k string) []Synonym { return []Synonym{{k, 1}} }
	switch key {
	case "segment.bytes", "retention.bytes", "message.timestamp.type", "message.timestamp.before.max.ms",
		"message.timestamp.after.max.ms", "local.retention.ms", "local.retention.bytes", "preallocate", "cleanup.policy", "index.interval.bytes",
		"message.downconversion.enable", "message.timestamp.difference.max.ms":
		return one("log." + key)
	case "segment.ms":
		return []Synonym{{"log.roll.ms", 1}, {"log.roll.hours", hourMillis}}
	case "segment.jitter.ms":
		return []Synonym{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hourMillis}}
	case "segment.index.bytes":
		return one("log.index.size.max.bytes")
	case "flush.messages":
		return one("log.flush.interval.messages")
	case "flush.ms":
		return []Synonym{{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}}
	case "retention.ms":
		return []Synonym{{"log.retention.ms", 1}, {"log.retention.minutes", minuteMillis}, {"log.retention.hours", hourMillis}}
	case "max.message.bytes":
		return one("message.max.bytes")
	case "delete.retention.ms", "min.compaction.lag.ms", "max.compaction.lag.ms":
		return one("log.cleaner." + key)
	case "file.delete.delay.ms":
		return one("log.segment.delete.delay.ms")
	case "min.cleanable.dirty.ratio":
		return one("log.cleaner.min.cleanable.ratio")
	case "unclean.leader.election.enable", "min.insync.replicas", "compression.type", "compression.gzip.level", "compression.lz4.level", "compression.zstd.level":
		return one(key)
	}
	return nil
}

// ValidateTopic judges one topic key. The error is an *Error of kind ErrUnknownKey or ErrInvalid.
func ValidateTopic(key, value string) error {
	d, ok := TopicDef(key)
	if !ok {
		names := make([]string, 0, len(TopicDefs()))
		for _, d := range TopicDefs() {
			names = append(names, d.Name)
		}
		return unknownKey(key, "topic", names)
	}
	return d.Validate(value)
}

// ValidateTopicSet judges what several keys of one topic say together; get returns the effective value of any topic key.
func ValidateTopicSet(get func(key string) string) error {
	num := func(key string) int64 { n, _ := strconv.ParseInt(get(key), 10, 64); return n }
	if lo, hi := num("min.compaction.lag.ms"), num("max.compaction.lag.ms"); lo > hi {
		return &Error{Kind: ErrInvalid, Key: "min.compaction.lag.ms", Value: get("min.compaction.lag.ms"),
			Reason: "more than max.compaction.lag.ms=" + get("max.compaction.lag.ms"), Allowed: "at most max.compaction.lag.ms"}
	}
	return nil
}

// ValidateBroker judges a change of one broker key at run time, for one broker (perBroker) or as the default of all. The error is an
// *Error of kind ErrUnknownKey, ErrReadOnly or ErrInvalid.
func ValidateBroker(key, value string, perBroker bool) error {
	d, ok := BrokerDef(key)
	if !ok {
		d, ok = listenerScoped(key)
	}
	if !ok {
		return unknownKey(key, "broker", brokerNames())
	}
	switch {
	case d.Scope == ReadOnly:
		return &Error{Kind: ErrReadOnly, Key: key, Reason: "cannot be changed while the broker runs"}
	case d.Scope == PerBroker && !perBroker:
		return &Error{Kind: ErrReadOnly, Key: key, Reason: "can be changed for one broker only, not as the default of all"}
	}
	return d.Validate(value)
}

// TopicValue is an effective topic value and where it comes from.
type TopicValue struct {
	Value string
	// Broker is the broker key that gave it, "" if the definition's default did; Dynamic says that it was set at run time.
	Broker  string
	Dynamic bool
	Origin  Origin
}

// TopicDefault returns what a topic key is worth when the topic itself does not set it: of the synonyms, strongest first, a dynamic
// broker value, then a static one; else the definition's default. dynamicBroker may be nil. ok is false for unknown keys.
func (c *Config) TopicDefault(key string, dynamicBroker func(key string) (string, bool)) (v TopicValue, ok bool) {
	d, ok := TopicDef(key)
	if !ok {
		return TopicValue{}, false
	}
	synonyms := TopicSynonyms(key)
	if dynamicBroker != nil {
		for _, s := range synonyms {
			if value, set := dynamicBroker(s.Key); set {
				return TopicValue{Value: Scale(value, s.Scale), Broker: s.Key, Dynamic: true}, true
			}
		}
	}
	for _, s := range synonyms {
		if e := c.values[s.Key]; e.origin.Static() {
			return TopicValue{Value: Scale(e.value, s.Scale), Broker: s.Key, Origin: e.origin}, true
		}
	}
	return TopicValue{Value: d.Default}, true
}

// TopicDefaults returns a function that gives every topic key's default of this broker, without dynamic values.
func TopicDefaults(c *Config) func(key string) (string, bool) {
	return func(key string) (string, bool) {
		v, ok := c.TopicDefault(key, nil)
		return v.Value, ok
	}
}

// Scale multiplies a number of a synonym into the unit of its topic key; -1 means "no limit" in every unit and an overflow becomes the largest number.
func Scale(value string, by int64) string {
	if by == 1 {
		return value
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n < 0 {
		return value
	}
	if n > (1<<63-1)/by {
		return "9223372036854775807"
	}
	return strconv.FormatInt(n*by, 10)
}

// CleanupPolicy is what cleanup.policy lists.
type CleanupPolicy struct{ Delete, Compact bool }

// TimestampType is message.timestamp.type, with the value of the record batch's attribute bit.
type TimestampType int8

const (
	CreateTime    TimestampType = 0
	LogAppendTime TimestampType = 1
)

// CompressionType is compression.type; codecs have the numbers of a record batch's attributes.
type CompressionType int8

const (
	CompressionProducer CompressionType = -1 // keep what the producer chose
	CompressionNone     CompressionType = 0
	CompressionGzip     CompressionType = 1
	CompressionSnappy   CompressionType = 2
	CompressionLZ4      CompressionType = 3
	CompressionZstd     CompressionType = 4
)

// TopicConfig is what a partition needs to know of its topic's configuration. Times are in milliseconds, as timestamps are.
type TopicConfig struct {
	MaxMessageBytes       int
	RetentionMillis       int64 // -1: no limit
	RetentionBytes        int64 // of one partition; -1: no limit
	CleanupPolicy         CleanupPolicy
	TimestampType         TimestampType
	BeforeMaxMillis       int64 // how far a timestamp may lie in the past
	AfterMaxMillis        int64 // how far it may lie in the future
	CompressionType       CompressionType
	GzipLevel             int // -1: the codec's own default
	LZ4Level              int
	ZstdLevel             int
	SegmentBytes          int64
	SegmentMillis         int64
	MinInsyncReplicas     int
	DeleteRetentionMillis int64
	MinCompactionLag      int64 // ms
	MaxCompactionLag      int64 // ms
	MinCleanableRatio     float64
}

// EffectiveTopic types a topic's values: its own overrides first, then the broker's (see TopicDefault). Both functions may be nil. A
// malformed override, which validation keeps out, counts as not set.
func (c *Config) EffectiveTopic(overrides func(key string) (string, bool), dynamicBroker func(key string) (string, bool)) TopicConfig {
	get := func(key string) string {
		if overrides != nil {
			if v, ok := overrides(key); ok && ValidateTopic(key, v) == nil {
				return strings.TrimSpace(v)
			}
		}
		v, _ := c.TopicDefault(key, dynamicBroker)
		if ValidateTopic(key, v.Value) != nil {
			d, _ := TopicDef(key)
			return d.Default
		}
		return strings.TrimSpace(v.Value)
	}
	num := func(key string) int64 {
		n, err := strconv.ParseInt(get(key), 10, 64)
		if err != nil {
			panic("BUG: config: " + key + " is no number")
		}
		return n
	}
	t := TopicConfig{
		MaxMessageBytes:       int(num("max.message.bytes")),
		RetentionMillis:       num("retention.ms"),
		RetentionBytes:        num("retention.bytes"),
		BeforeMaxMillis:       num("message.timestamp.before.max.ms"),
		AfterMaxMillis:        num("message.timestamp.after.max.ms"),
		GzipLevel:             int(num("compression.gzip.level")),
		LZ4Level:              int(num("compression.lz4.level")),
		ZstdLevel:             int(num("compression.zstd.level")),
		SegmentBytes:          num("segment.bytes"),
		SegmentMillis:         num("segment.ms"),
		MinInsyncReplicas:     int(num("min.insync.replicas")),
		DeleteRetentionMillis: num("delete.retention.ms"),
		MinCompactionLag:      num("min.compaction.lag.ms"),
		MaxCompactionLag:      num("max.compaction.lag.ms"),
	}
	for _, p := range splitList(get("cleanup.policy")) {
		switch p {
		case "delete":
			t.CleanupPolicy.Delete = true
		case "compact":
			t.CleanupPolicy.Compact = true
		}
	}
	if get("message.timestamp.type") == "LogAppendTime" {
		t.TimestampType = LogAppendTime
	}
	t.CompressionType = map[string]CompressionType{"producer": CompressionProducer, "uncompressed": CompressionNone, "gzip": CompressionGzip,
		"snappy": CompressionSnappy, "lz4": CompressionLZ4, "zstd": CompressionZstd}[get("compression.type")]
	t.MinCleanableRatio, _ = strconv.ParseFloat(get("min.cleanable.dirty.ratio"), 64)
	return t
}
