package clients

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestKcat: kcat with every codec, keys, headers, groups, times and transactions' isolation, over plaintext and over SASL_SSL with both kinds of mechanism.
func TestKcat(t *testing.T) {
	notShort(t)
	if _, err := exec.LookPath("kcat"); err != nil {
		missing(t, true, "%v", err)
	}
	n := startSecureNode(t)
	security := func(mechanism string) []string {
		return []string{"-b", n.secure, "-X", "security.protocol=sasl_ssl", "-X", "ssl.ca.location=" + n.ca, "-X", "sasl.mechanism=" + mechanism,
			"-X", "sasl.username=" + user, "-X", "sasl.password=" + password}
	}
	for name, where := range map[string][]string{"plaintext": {"-b", n.Seed()}, "PLAIN": security("PLAIN"), "SCRAM-SHA-512": security("SCRAM-SHA-512")} {
		t.Run(name, func(t *testing.T) {
			kcat := func(stdin string, args ...string) string {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, "kcat", append(append([]string{}, where...), args...)...)
				cmd.Stdin = strings.NewReader(stdin)
				var errs strings.Builder
				cmd.Stderr = &errs
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("kcat %v: %v\n%s", args, err, errs.String())
				}
				return string(out)
			}
			topic := "kcat-" + strings.ToLower(name)
			var want strings.Builder
			for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
				for i := range 100 {
					fmt.Fprintf(&want, "key%d:%s value %d\n", i, codec, i)
				}
				begin := strings.LastIndex(want.String()[:want.Len()-1], "key0:")
				kcat(want.String()[begin:], "-P", "-t", topic, "-p", "0", "-K:", "-z", codec, "-H", "codec="+codec, "-X", "acks=all", "-X", "enable.idempotence=true")
			}
			if got := kcat("", "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-K:"); got != want.String() {
				t.Errorf("read %d bytes, wrote %d", len(got), want.Len())
			}
			if got := kcat("", "-C", "-t", topic, "-o", "-1", "-e", "-q", "-f", "%o %h %k=%s\n"); got != "499 codec=zstd key99=zstd value 99\n" {
				t.Errorf("last record: %q", got)
			}
			if got := kcat("", "-Q", "-t", topic+":0:-1", "-t", topic+":0:-2"); !strings.Contains(got, topic+" [0] offset") {
				t.Errorf("offsets: %q", got)
			}
			got := kcat("", "-G", "group-"+topic, "-o", "beginning", "-c", "200", "-q", "-X", "auto.offset.reset=earliest", topic)
			got += kcat("", "-G", "group-"+topic, "-c", "300", "-q", "-X", "auto.offset.reset=earliest", topic)
			if lines := strings.Count(got, "\n"); lines != 500 || !strings.HasSuffix(got, "zstd value 99\n") {
				t.Errorf("the group read %d records in two runs", lines)
			}
			if got := kcat("", "-L", "-t", topic); !strings.Contains(got, `topic "`+topic+`" with 1 partitions`) {
				t.Errorf("metadata: %s", got)
			}
		})
	}
}
