package engine_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
)

// TestLoggers: the level of a broker's log is read and changed while it runs (KIP-412), all of a change or nothing.
func TestLoggers(t *testing.T) {
	x := contract(t)
	const kind, set, remove = kmsg.ConfigResourceTypeBrokerLogger, kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	describe := func(name string, keys ...string) kmsg.DescribeConfigsResponseResource {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version, req.IncludeSynonyms = 4, true
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
		return ask[*kmsg.DescribeConfigsResponse](x, req).Resources[0]
	}
	root := func() string {
		t.Helper()
		r := describe("1", "root")
		if r.ErrorCode != 0 || len(r.Configs) != 1 {
			t.Fatalf("%+v", r)
		}
		c := r.Configs[0]
		if c.Name != "root" || c.Source != kmsg.ConfigSourceDynamicBrokerLoggerConfig || c.IsDefault || c.ReadOnly || c.IsSensitive || len(c.ConfigSynonyms) > 0 {
			t.Errorf("%+v", c)
		}
		return deref(c.Value)
	}
	alter := func(validate bool, name string, op kmsg.IncrementalAlterConfigOp, pairs ...string) kmsg.IncrementalAlterConfigsResponseResource {
		req := alterRequest(kind, name, op, pairs...)
		req.ValidateOnly = validate
		return ask[*kmsg.IncrementalAlterConfigsResponse](x, req).Resources[0]
	}
	before := root()
	for _, tc := range []struct {
		name string
		keys []string
		code kproto.ErrorCode
		text string
	}{
		{"1", []string{"nope"}, kproto.None, ""},
		{"", nil, kproto.InvalidRequest, "Broker id must not be empty"},
		{"2", nil, kproto.InvalidRequest, "Unexpected broker id, expected 1 but received 2"},
		{"x", nil, kproto.InvalidRequest, "Broker id must be an integer, but it is: x"},
	} {
		r := describe(tc.name, tc.keys...)
		if r.ErrorCode != int16(tc.code) || tc.text != "" && deref(r.ErrorMessage) != tc.text || len(r.Configs) > 0 {
			t.Errorf("describe %q %v: %d %s, %d loggers", tc.name, tc.keys, r.ErrorCode, deref(r.ErrorMessage), len(r.Configs))
		}
	}
	level := func(value string) string {
		return "Cannot set the log level of root to " + value + " as it is not a supported log level. Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN"
	}
	for _, tc := range []struct {
		name  string
		op    kmsg.IncrementalAlterConfigOp
		pairs []string
		code  kproto.ErrorCode
		text  string
	}{
		{"1", set, []string{"root=debug"}, kproto.InvalidConfig, level("debug")},
		{"1", set, []string{"root=OFF"}, kproto.InvalidConfig, level("OFF")},
		{"1", set, []string{"root="}, kproto.InvalidConfig, level("")},
		{"1", set, []string{"root=FATAL", "nope=INFO"}, kproto.InvalidConfig, "Logger nope does not exist!"},
		{"1", set, []string{"root=FATAL", "root=FATAL"}, kproto.InvalidRequest, "Error due to duplicate config keys"},
		{"1", remove, []string{"root="}, kproto.InvalidRequest, "Removing the log level of the root logger is not allowed"},
		{"1", remove, []string{"nope="}, kproto.InvalidConfig, "Logger nope does not exist!"},
		{"1", kmsg.IncrementalAlterConfigOpAppend, []string{"root=INFO"}, kproto.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource"},
		{"1", kmsg.IncrementalAlterConfigOpSubtract, []string{"root=INFO"}, kproto.InvalidRequest, "SUBTRACT operation is not allowed for the BROKER_LOGGER resource"},
		{"", set, []string{"root=INFO"}, kproto.InvalidRequest, "Node id must be an integer, but it is: "},
		{"2", set, []string{"root=INFO"}, kproto.InvalidRequest, "Unexpected node id. Expected 1, but received 2"},
	} {
		if r := alter(false, tc.name, tc.op, tc.pairs...); r.ErrorCode != int16(tc.code) || deref(r.ErrorMessage) != tc.text {
			t.Errorf("%v %q %v: %d %s", tc.op, tc.name, tc.pairs, r.ErrorCode, deref(r.ErrorMessage))
		}
	}
	twice := alterRequest(kind, "1", set, "root=FATAL")
	twice.Resources = append(twice.Resources, twice.Resources[0])
	for _, r := range ask[*kmsg.IncrementalAlterConfigsResponse](x, twice).Resources {
		wantCode(t, "the same resource twice: "+deref(r.ErrorMessage), r.ErrorCode, kproto.InvalidRequest)
	}
	for _, l := range []string{"FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"} {
		wantCode(t, "try "+l, alter(true, "1", set, "root="+l).ErrorCode, kproto.None)
		if now := root(); now != before {
			t.Fatalf("the level is %s after nothing that changes it, was %s", now, before)
		}
	}
	for _, l := range []string{"ERROR", "FATAL", before} {
		r := alter(false, "1", set, "root="+l)
		if now := root(); r.ErrorCode != 0 || r.ErrorMessage != nil || now != l {
			t.Fatalf("set to %s: %s, %+v", l, now, r)
		}
	}
	whole := kmsg.NewPtrAlterConfigsRequest()
	whole.Version = 2
	whole.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: kind, ResourceName: "1", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "root", Value: &before}}}}
	r := ask[*kmsg.AlterConfigsResponse](x, whole).Resources[0]
	wantCode(t, fmt.Sprint("as a whole: ", deref(r.ErrorMessage)), r.ErrorCode, kproto.InvalidRequest)
}
