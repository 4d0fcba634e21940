package cli

import (
	"strings"
	"testing"

	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestBucketsInMinIO: buckets are created and checked.
func TestBucketsInMinIO(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: buckets in MinIO, which starts one")
	}
	m := s3test.StartMinIO(t)
	url := "s3://" + m.Host() + "?s3-endpoint-protocol=http&s3-path-style=true&s3-data-bucket=cli-data&s3-ops-bucket=cli-ops&s3-access-key=" + m.AccessKey + "&s3-secret-key=" + m.SecretKey
	for _, want := range []string{": created\n", ": exists\n"} {
		code, stdout, stderr, _ := run(t, "ringmq", "bucket", "create", "--wait=20s", "--s3-url="+url)
		if code != 0 || strings.Count(stdout, want) != 2 || strings.Contains(stdout, m.SecretKey) {
			t.Fatalf("create: %d %s%s", code, stdout, stderr)
		}
	}
	if code, stdout, stderr, _ := run(t, "ringmq", "bucket", "check", "--s3-url="+url); code != 0 || strings.Count(stdout, ": ready\n") != 2 {
		t.Fatalf("check: %d %s%s", code, stdout, stderr)
	}
}
