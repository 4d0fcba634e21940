package config

import (
	"maps"
	"strings"
	"testing"
)

func TestMetricsExporter(t *testing.T) {
	const key = "s3.telemetry.metrics.exporter.uri="
	for uri, want := range map[string]string{
		"prometheus://0.0.0.0:9090":             "0.0.0.0:9090",
		"prometheus://:9464":                    ":9464",
		"prometheus://[::1]:9464/":              "[::1]:9464",
		"prometheus://?host=10.0.0.1&port=8890": "10.0.0.1:8890",
		"prometheus://?host=::&port=1":          "[::]:1",
		"prometheus://":                         "localhost:9090",
		"prometheus://?port=0":                  "localhost:0",
		"otlp://?endpoint=http://h:4317&protocol=grpc,prometheus://h:90": "h:90",
		"ops://?": "",
	} {
		c, warnings, err := loadQuiet(Source{Overrides: []string{"log.dirs=/d", key + uri}})
		if err != nil || c.Telemetry.Prometheus != want {
			t.Errorf("%s: %q, %v; want %q", uri, c.Telemetry.Prometheus, err, want)
		}
		if other := strings.Contains(uri, "otlp") || strings.Contains(uri, "ops"); other != (len(warnings) == 1) {
			t.Errorf("%s: warnings %v", uri, warnings)
		}
	}
	for _, uri := range []string{"0.0.0.0:9090", "prom://h:1", "prometheus://h", "prometheus://h:x", "prometheus://?prot=1", "prometheus://?port=70000",
		"prometheus://a:1,prometheus://b:1", "prometheus://h h:1"} {
		if _, _, err := loadQuiet(Source{Overrides: []string{"log.dirs=/d", key + uri}}); err == nil || !strings.Contains(err.Error(), "s3.telemetry.metrics.exporter.uri") ||
			!strings.Contains(err.Error(), "prometheus://<host>:<port>") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	c, _, err := loadQuiet(Source{Overrides: []string{"log.dirs=/d", key + "prometheus://h:1", "s3.telemetry.metrics.base.labels=rack=a, zone = b"}})
	if err == nil {
		t.Errorf("a label with a blank was accepted: %v", c.Telemetry.Labels)
	}
	c, _, err = loadQuiet(Source{Overrides: []string{"log.dirs=/d", key + "prometheus://h:1", "s3.telemetry.metrics.base.labels=rack=a,zone=b=c"}})
	if err != nil || !maps.Equal(c.Telemetry.Labels, map[string]string{"rack": "a", "zone": "b=c"}) {
		t.Errorf("%v, %v", c.Telemetry.Labels, err)
	}
	c, _, err = loadQuiet(Source{Overrides: []string{"log.dirs=/d", key + "prometheus://h:1", "s3.telemetry.metrics.enable=false"}})
	if err != nil || c.Telemetry.Prometheus != "" {
		t.Errorf("%v, %v", c.Telemetry, err)
	}
}
