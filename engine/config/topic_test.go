package config

import (
	"errors"
	"strings"
	"testing"
)

func TestEffectiveTopicDefaults(t *testing.T) {
	c := load(t, Source{})
	want := TopicConfig{MaxMessageBytes: 1048588, RetentionMillis: 604800000, RetentionBytes: -1, CleanupPolicy: CleanupPolicy{Delete: true},
		BeforeMaxMillis: 1<<63 - 1, AfterMaxMillis: 3600000, CompressionType: CompressionProducer, GzipLevel: -1, LZ4Level: 9, ZstdLevel: 3,
		SegmentBytes: 1 << 30, SegmentMillis: 604800000, MinInsyncReplicas: 1, DeleteRetentionMillis: 86400000, MaxCompactionLag: 1<<63 - 1, MinCleanableRatio: 0.5}
	if got := c.EffectiveTopic(nil, nil); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEffectiveTopicPrecedence(t *testing.T) {
	get := func(m map[string]string) func(string) (string, bool) {
		return func(k string) (string, bool) { v, ok := m[k]; return v, ok }
	}
	tests := []struct {
		name           string
		static         []string
		dynamic, topic map[string]string
		want           int64
		broker         string
	}{
		{"default", nil, nil, nil, 604800000, ""},
		{"hours", []string{"log.retention.hours=1"}, nil, nil, 3600000, "log.retention.hours"},
		{"minutes before hours", []string{"log.retention.hours=1", "log.retention.minutes=2"}, nil, nil, 120000, "log.retention.minutes"},
		{"ms before minutes", []string{"log.retention.ms=3", "log.retention.minutes=2"}, nil, nil, 3, "log.retention.ms"},
		{"no limit in hours", []string{"log.retention.hours=-1"}, nil, nil, -1, "log.retention.hours"},
		{"overflow", []string{"log.retention.minutes=2147483647"}, nil, nil, 2147483647 * 60000, "log.retention.minutes"},
		{"dynamic before static", []string{"log.retention.ms=3"}, map[string]string{"log.retention.ms": "4"}, nil, 4, "log.retention.ms"},
		{"topic first", []string{"log.retention.ms=3"}, map[string]string{"log.retention.ms": "4"}, map[string]string{"retention.ms": "-1"}, -1, "log.retention.ms"},
		{"malformed override", nil, nil, map[string]string{"retention.ms": "soon"}, 604800000, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, Source{Overrides: tt.static})
			if got := c.EffectiveTopic(get(tt.topic), get(tt.dynamic)).RetentionMillis; got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if v, ok := c.TopicDefault("retention.ms", get(tt.dynamic)); !ok || v.Broker != tt.broker || v.Dynamic != (tt.dynamic != nil) {
				t.Errorf("default %+v", v)
			}
		})
	}
}

func TestEffectiveTopicTypes(t *testing.T) {
	c := load(t, Source{Overrides: []string{"compression.type=zstd", "log.cleaner.min.cleanable.ratio=0.1"}})
	set := map[string]string{"cleanup.policy": "compact, delete", "message.timestamp.type": "LogAppendTime", "max.message.bytes": "2000"}
	got := c.EffectiveTopic(func(k string) (string, bool) { v, ok := set[k]; return v, ok }, nil)
	if got.CleanupPolicy != (CleanupPolicy{true, true}) || got.TimestampType != LogAppendTime || got.CompressionType != CompressionZstd || got.MaxMessageBytes != 2000 || got.MinCleanableRatio != 0.1 {
		t.Errorf("%+v", got)
	}
	if v, ok := TopicDefaults(c)("compression.type"); !ok || v != "zstd" {
		t.Errorf("default %q", v)
	}
	if _, ok := TopicDefaults(c)("no.such.key"); ok {
		t.Error("unknown key has a default")
	}
}

func TestValidateTopic(t *testing.T) {
	tests := []struct {
		key, value string
		kind       error
		text       string
	}{
		{"retention.ms", "-1", nil, ""},
		{"retention.ms", "-2", ErrInvalid, `retention.ms="-2": out of range; allowed: a number from -1 up`},
		{"retention.ms", "", ErrInvalid, "LONG"},
		{"cleanup.policy", "compact,delete", nil, ""},
		{"cleanup.policy", "", nil, ""},
		{"cleanup.policy", "compact,compact", ErrInvalid, "twice"},
		{"segment.bytes", "1048575", ErrInvalid, "1048576"},
		{"compression.gzip.level", "-1", nil, ""},
		{"compression.gzip.level", "0", ErrInvalid, "or -1"},
		{"compression.type", "ZSTD", ErrInvalid, "not one of them"},
		{"min.cleanable.dirty.ratio", "1.5", ErrInvalid, "0 to 1"},
		{"min.cleanable.dirty.ratio", "NaN", ErrInvalid, "decimal"},
		{"leader.replication.throttled.replicas", "0:1,1:2", nil, ""},
		{"leader.replication.throttled.replicas", "*", nil, ""},
		{"leader.replication.throttled.replicas", "0-1", ErrInvalid, "<partition>:<broker>"},
		{"message.downconversion.enable", "true", nil, ""},
		{"automq.table.topic.enable", "true", ErrInvalid, "no table topics"},
		{"preallocate", "TRUE", nil, ""},
		{"retention.m", "1", ErrUnknownKey, "did you mean retention.ms?"},
	}
	for _, tt := range tests {
		err := ValidateTopic(tt.key, tt.value)
		if tt.kind == nil && err == nil {
			continue
		}
		if tt.kind == nil || !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s=%s: got %v, want %v with %q", tt.key, tt.value, err, tt.kind, tt.text)
		}
	}
	lags := map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}
	if err := ValidateTopicSet(func(k string) string { return lags[k] }); !errors.Is(err, ErrInvalid) {
		t.Errorf("lags: %v", err)
	}
}

func TestValidateBroker(t *testing.T) {
	tests := []struct {
		key, value string
		perBroker  bool
		want       error
	}{
		{"log.retention.ms", "1000", false, nil},
		{"log.retention.ms", "x", false, ErrInvalid},
		{"log.retention.hours", "1", true, ErrReadOnly},
		{"listeners", "PLAINTEXT://:1", true, nil},
		{"listeners", "PLAINTEXT://:1", false, ErrReadOnly},
		{"no.such", "1", true, ErrUnknownKey},
		{"leader.replication.throttled.rate", "1", true, nil},
	}
	for _, tt := range tests {
		if err := ValidateBroker(tt.key, tt.value, tt.perBroker); !errors.Is(err, tt.want) || (err != nil) != (tt.want != nil) {
			t.Errorf("%s=%s: got %v, want %v", tt.key, tt.value, err, tt.want)
		}
	}
}
