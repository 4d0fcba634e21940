package cli

import (
	"strings"
	"testing"

	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestMinIO: buckets are created and checked, and generate-s3-url tells the causes of failures apart.
func TestMinIO(t *testing.T) {
	if testing.Short() {
		t.Skip("starts MinIO")
	}
	m := s3test.StartMinIO(t)
	host := strings.TrimPrefix(m.Endpoint, "http://")
	url := "s3://" + host + "?s3-endpoint-protocol=http&s3-path-style=true&s3-data-bucket=cli-data&s3-ops-bucket=cli-ops&s3-access-key=" + m.AccessKey + "&s3-secret-key=" + m.SecretKey
	for _, want := range []string{": created\n", ": exists\n"} {
		code, stdout, stderr, _ := run(t, "ringmq", "bucket", "create", "--wait=20s", "--s3-url="+url)
		if code != 0 || strings.Count(stdout, want) != 2 || strings.Contains(stdout, m.SecretKey) {
			t.Fatalf("create: %d %s%s", code, stdout, stderr)
		}
	}
	if code, stdout, stderr, _ := run(t, "ringmq", "bucket", "check", "--s3-url="+url); code != 0 || strings.Count(stdout, ": ready\n") != 2 {
		t.Fatalf("check: %d %s%s", code, stdout, stderr)
	}

	flags := map[string]string{"s3-access-key": m.AccessKey, "s3-secret-key": m.SecretKey, "s3-region": "us-east-1", "s3-endpoint": m.Endpoint, "s3-data-bucket": "cli-data", "s3-path-style": "true"}
	ping := func(t *testing.T, key, value string) (int, string, string) {
		argv := []string{"automq-kafka-admin.sh", "generate-s3-url"}
		for k, v := range flags {
			if k == key {
				v = value
			}
			argv = append(argv, "--"+k+"="+v)
		}
		code, stdout, stderr, _ := run(t, argv...)
		return code, stdout, stderr
	}
	code, stdout, stderr := ping(t, "", "")
	if code != 0 || strings.Count(stdout, "[ OK ]") != 8 || !strings.Contains(stdout, "s3-ops-bucket=cli-data&cluster-id=") {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "s3://") {
			if code, _, stderr, cfg := run(t, "ringmq", "server", "start", "--s3-url="+strings.TrimSpace(line), "--override=log.dirs="+t.TempDir()); code != 0 || cfg.DataBuckets[0].SecretKey != m.SecretKey {
				t.Errorf("the printed url does not start a node: %s", stderr)
			}
		}
	}
	seen := map[string]string{}
	for _, tt := range []struct{ name, key, value, text string }{
		{"secret", "s3-secret-key", "wrong-secret", "secret key"},
		{"endpoint", "s3-endpoint", "http://127.0.0.1:1", "endpoint"},
		{"bucket", "s3-data-bucket", "missing", "bucket"},
		{"protocol", "s3-endpoint", "https://" + host, "speaks http"},
	} {
		code, stdout, stderr := ping(t, tt.key, tt.value)
		if code != 1 || !strings.Contains(stderr, tt.text) || !strings.Contains(stdout, "[ FAILED ] Write object") || strings.Contains(stderr, m.SecretKey) {
			t.Errorf("wrong %s: %d %s%s", tt.name, code, stdout, stderr)
		}
		if other, dup := seen[stderr]; dup {
			t.Errorf("wrong %s reads like wrong %s: %s", tt.name, other, stderr)
		}
		seen[stderr] = tt.name
	}
}

func TestS3URLRoundTrip(t *testing.T) {
	f := s3URLFlags{accessKey: "a+b/c=", secretKey: "x&y%z =", region: "r", protocol: "http", endpoint: "h:1", dataBucket: "d"}
	text, err := f.url("c")
	if err != nil {
		t.Fatal(err)
	}
	_, _, stderr, cfg := run(t, "ringmq", "server", "start", "--s3-url="+text, "--override=log.dirs="+t.TempDir())
	if cfg == nil || cfg.DataBuckets[0].AccessKey != f.accessKey || cfg.DataBuckets[0].SecretKey != f.secretKey {
		t.Fatalf("%s: %s", text, stderr)
	}
}
