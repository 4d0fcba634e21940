package cli

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/netpoll/tlstest"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// pingFlags are the flags of generate-s3-url for a server; changes of "" leave a flag out.
func pingFlags(m *s3test.MinIO, changes ...string) []string {
	flags := map[string]string{"s3-access-key": m.AccessKey, "s3-secret-key": m.SecretKey, "s3-region": "us-east-1", "s3-endpoint": m.Host(), "s3-data-bucket": "data"}
	for i := 0; i < len(changes); i += 2 {
		flags[changes[i]] = changes[i+1]
	}
	argv := []string{"automq-kafka-admin.sh", "generate-s3-url"}
	for k, v := range flags {
		if v != "" {
			argv = append(argv, "--"+k+"="+v)
		}
	}
	return argv
}

// printedURL is the URL that generate-s3-url printed.
func printedURL(t *testing.T, stdout string) (string, config.S3URL) {
	t.Helper()
	_, after, ok := strings.Cut(stdout, "Your s3url is:\n\n")
	text, _, _ := strings.Cut(after, "\n")
	u, err := config.ParseS3URL(text)
	if !ok || err != nil || !strings.Contains(stdout, "generate-start-command \\\n--s3-url=\""+text+"\" \\\n--controller-list=") {
		t.Fatalf("no url and next command (%v) in: %s", err, stdout)
	}
	return text, u
}

// failed checks that generate-s3-url says what is wrong: all probes shown, exit status 1, in time, no secret, and the advice.
func failed(t *testing.T, env map[string]string, argv []string, advice string) {
	t.Helper()
	begun := time.Now()
	code, stdout, stderr, _ := runIn(t, env, argv...)
	took := time.Since(begun)
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "; "+advice) {
		t.Errorf("status %d, want the advice %q: %s", code, advice, stderr)
	}
	if took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	at := 0
	for _, name := range probeNames {
		i := strings.Index(stdout[at:], "] "+name)
		if i < 0 {
			t.Errorf("no line for %s in order: %s", name, stdout)
			break
		}
		at += i
	}
	if !strings.Contains(stdout, "[ FAILED ] ") || strings.Contains(stdout, "s3url is") {
		t.Errorf("no failure shown: %s", stdout)
	}
	for _, secret := range []string{"ringmqtest-secret", "wrong-secret"} {
		if strings.Contains(stdout+stderr, secret) {
			t.Errorf("the secret is shown: %s%s", stdout, stderr)
		}
	}
	t.Logf("after %s: %s", took.Round(time.Millisecond), stderr)
}

// TestS3URL: against a store that is as it should be, over http.
func TestS3URL(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: a whole S3 URL against MinIO, which starts one")
	}
	m := s3test.StartMinIO(t)
	for _, changes := range [][]string{{"s3-create-buckets", "true"}, {"s3-path-style", "true", "s3-endpoint-protocol", "http"}, {"s3-endpoint", m.Endpoint}} {
		code, stdout, stderr, _ := run(t, pingFlags(m, changes...)...)
		if code != 0 || strings.Count(stdout, "[ OK ] ") != 8 || !strings.HasPrefix(stdout, "############  Ping s3 ########################\n\n") {
			t.Fatalf("%v: %d %s%s", changes, code, stdout, stderr)
		}
		text, u := printedURL(t, stdout)
		if u.PathStyle != config.PathStyleOn || u.Endpoint != m.Endpoint || u.OpsBucket != "data" {
			t.Errorf("%v: found out %+v", changes, u)
		}
		if code, stdout, stderr, _ := run(t, "ringmq", "bucket", "check", "--s3-url="+text); code != 0 || !strings.Contains(stdout, ": ready\n") {
			t.Errorf("the printed url: %d %s%s", code, stdout, stderr)
		}
	}
	// Keys of the environment or of a file stay out of the URL.
	env := map[string]string{"KAFKA_S3_ACCESS_KEY": m.AccessKey, "KAFKA_S3_SECRET_KEY": m.SecretKey}
	code, stdout, stderr, _ := runIn(t, env, pingFlags(m, "s3-access-key", "", "s3-secret-key", "")...)
	if _, u := printedURL(t, stdout); code != 0 || u.AccessKey != "" || strings.Contains(stdout, m.SecretKey) || !strings.Contains(stdout, "TIPS: The url holds no keys: set KAFKA_S3_ACCESS_KEY, KAFKA_S3_SECRET_KEY") {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", m.AccessKey, m.SecretKey), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr, _ = run(t, pingFlags(m, "s3-access-key", "", "s3-secret-key", "", "s3-credentials-file", file)...)
	text, u := printedURL(t, stdout)
	if code != 0 || u.AccessKey != "" || u.CredentialsFile != file || strings.Contains(stdout, m.SecretKey) || !strings.Contains(stdout, "TIPS: Put "+file) {
		t.Errorf("%d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr, _ := run(t, "ringmq", "bucket", "check", "--s3-url="+text); code != 0 || !strings.Contains(stdout, ": ready\n") {
		t.Errorf("the url with a credentials file: %d %s%s", code, stdout, stderr)
	}
}

// TestS3URLFailures: each wrong setting has its own advice.
func TestS3URLFailures(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: wrong S3 URLs against MinIO, which starts one")
	}
	m := s3test.StartMinIO(t)
	m.MakeBucket(t, "data")
	for _, tt := range []struct {
		name    string
		changes []string
		advice  string
	}{
		{"secret", []string{"s3-secret-key", "wrong-secret"}, "secret key: "},
		{"access key", []string{"s3-access-key", "nobody"}, "access key: "},
		{"bucket", []string{"s3-data-bucket", "missing"}, "bucket: missing does not exist"},
		{"ops bucket", []string{"s3-ops-bucket", "absent"}, "bucket: absent does not exist"},
		{"https on an http port", []string{"s3-endpoint-protocol", "https"}, "scheme: "},
		{"https in the endpoint", []string{"s3-endpoint", "https://" + m.Host()}, "scheme: "},
		{"path style", []string{"s3-path-style", "false"}, "path style: the store takes requests with --s3-path-style=true"},
		{"nobody listens", []string{"s3-endpoint", closedPort(t)}, "endpoint: nothing answers"},
		{"nobody answers", []string{"s3-endpoint", silentPort(t)}, "endpoint: nothing answers"},
		{"unknown host", []string{"s3-endpoint", "no-such-host.invalid:9000"}, "DNS: "},
		{"unknown host, scheme known", []string{"s3-endpoint", "http://no-such-host.invalid:9000"}, "DNS: "},
	} {
		t.Run(tt.name, func(t *testing.T) { failed(t, nil, pingFlags(m, tt.changes...), tt.advice) })
	}
	t.Run("secret of the environment", func(t *testing.T) {
		env := map[string]string{"KAFKA_S3_ACCESS_KEY": m.AccessKey, "KAFKA_S3_SECRET_KEY": "wrong-secret"}
		failed(t, env, pingFlags(m, "s3-access-key", "", "s3-secret-key", ""), "secret key: it does not belong to this access key: check KAFKA_S3_SECRET_KEY in the environment")
	})
	t.Run("clock", func(t *testing.T) {
		for _, tt := range []struct {
			shift time.Duration
			text  string
		}{{-time.Hour, "behind the store's"}, {time.Hour, "ahead of the store's"}} {
			proxy := clockProxy(t, m, tt.shift)
			failed(t, nil, pingFlags(m, "s3-endpoint", proxy), "clock: this host's clock is ")
			_, _, stderr, _ := run(t, pingFlags(m, "s3-endpoint", proxy)...)
			if !strings.Contains(stderr, "RequestTimeTooSkewed") || !strings.Contains(stderr, tt.text) || !strings.Contains(stderr, "clock is 1h0m0s") && !strings.Contains(stderr, "clock is 59m59s") && !strings.Contains(stderr, "clock is 1h0m1s") {
				t.Errorf("%s: %s", tt.shift, stderr)
			}
		}
		if code, stdout, stderr, _ := run(t, pingFlags(m, "s3-endpoint", clockProxy(t, m, time.Minute))...); code != 0 {
			t.Errorf("a minute is no reason to fail, and the proxy signs well: %d %s%s", code, stdout, stderr)
		}
	})
	t.Run("policy", func(t *testing.T) {
		for _, tt := range []struct{ action, failing, advice string }{
			{"s3:DeleteObject", "Delete object,Delete objects", "policy: the access key may not do this: allow s3:DeleteObject on arn:aws:s3:::data/*"},
			{"s3:GetObject", "RangeRead object,UploadPartCopy", "policy: the access key may not do this: allow s3:GetObject on arn:aws:s3:::data/*"},
		} {
			env := allBut(t, m, tt.action)
			argv := pingFlags(m, "s3-access-key", "", "s3-secret-key", "")
			failed(t, env, argv, tt.advice)
			_, stdout, _, _ := runIn(t, env, argv...)
			var failing []string
			for line := range strings.Lines(stdout) {
				if name, ok := strings.CutPrefix(line, "[ FAILED ] "); ok {
					failing = append(failing, strings.TrimSuffix(name, ": AccessDenied\n"))
				}
			}
			if strings.Join(failing, ",") != tt.failing {
				t.Errorf("without %s fail %v: %s", tt.action, failing, stdout)
			}
		}
	})
}

// TestS3URLWithTLS: https with a private authority, and a region of its own.
func TestS3URLWithTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED by -short: S3 URLs with TLS against MinIO, which starts one")
	}
	m := s3test.StartMinIOWith(t, s3test.MinIOOptions{TLS: true, Region: "eu-west-7"})
	m.MakeBucket(t, "data")
	good := []string{"s3-region", "eu-west-7", "s3-ca-file", m.CAFile}
	code, stdout, stderr, _ := run(t, pingFlags(m, good...)...)
	text, u := printedURL(t, stdout)
	if code != 0 || strings.Count(stdout, "[ OK ]") != 8 || u.Endpoint != m.Endpoint || u.CAFile != m.CAFile || !strings.Contains(stdout, "TIPS: Put "+m.CAFile) {
		t.Fatalf("%d %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr, _ := run(t, "ringmq", "bucket", "check", "--s3-url="+text); code != 0 || !strings.Contains(stdout, ": ready\n") {
		t.Errorf("the printed url: %d %s%s", code, stdout, stderr)
	}
	other := tlstest.WriteFile(t, t.TempDir(), "other.pem", tlstest.NewCA(t, "another authority").PEM())
	for _, tt := range []struct {
		name    string
		changes []string
		advice  string
	}{
		{"untrusted", []string{"s3-ca-file", ""}, "certificate: "},
		{"another authority", []string{"s3-ca-file", other}, "certificate: "},
		{"another name", []string{"s3-endpoint", strings.Replace(m.Host(), "127.0.0.1", "localhost", 1)}, "certificate: "},
		{"http on an https port", []string{"s3-endpoint-protocol", "http"}, "scheme: "},
		{"region", []string{"s3-region", "us-east-1"}, "region: --s3-region=us-east-1 is not the store's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			failed(t, nil, pingFlags(m, append(slices.Clone(good), tt.changes...)...), tt.advice)
		})
	}
	t.Run("AWS_CA_BUNDLE", func(t *testing.T) {
		t.Setenv("AWS_CA_BUNDLE", m.CAFile)
		code, stdout, stderr, _ := runIn(t, map[string]string{"AWS_CA_BUNDLE": m.CAFile}, pingFlags(m, "s3-region", "eu-west-7")...)
		if _, u := printedURL(t, stdout); code != 0 || u.CAFile != "" || !strings.Contains(stdout, "TIPS: AWS_CA_BUNDLE is set here") {
			t.Errorf("%d %s%s", code, stdout, stderr)
		}
	})
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentPort returns an address that takes connections and never answers.
func silentPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the kernel takes the connections
}

// allBut returns the environment with temporary keys of the server that may do everything but one action.
func allBut(t *testing.T, m *s3test.MinIO, action string) map[string]string {
	t.Helper()
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["arn:aws:s3:::*"]},{"Effect":"Deny","Action":[%q],"Resource":["arn:aws:s3:::*"]}]}`, action)
	creds, err := credentials.NewSTSAssumeRole(m.Endpoint, credentials.STSAssumeRoleOptions{AccessKey: m.AccessKey, SecretKey: m.SecretKey, Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	v, err := creds.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"AWS_ACCESS_KEY_ID": v.AccessKeyID, "AWS_SECRET_ACCESS_KEY": v.SecretAccessKey, "AWS_SESSION_TOKEN": v.SessionToken}
}

// clockProxy puts a server in a world whose time is that of this host minus shift, so that this host's clock is ahead by shift: what passes
// is signed anew with the time that this host would have, seen from there, and the dates of answers are those of that world.
func clockProxy(t *testing.T, m *s3test.MinIO, shift time.Duration) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, m.Endpoint+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = r.Header.Clone()
		if r.Header.Get("Authorization") != "" {
			sign(out, m, time.Now().UTC().Add(shift))
		}
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.Header().Set("Date", time.Now().UTC().Add(-shift).Format(http.TimeFormat))
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	return strings.TrimPrefix(proxy.URL, "http://")
}

// sign puts an AWS signature version 4 of a time on a request, which minio-go makes of the present only.
func sign(r *http.Request, m *s3test.MinIO, at time.Time) {
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", at.Format("20060102T150405Z"))
	names := []string{"host"}
	for k := range r.Header {
		if k = strings.ToLower(k); strings.HasPrefix(k, "x-amz-") {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, n := range names {
		v := r.Header.Get(n)
		if n == "host" {
			v = r.URL.Host
		}
		fmt.Fprintf(&headers, "%s:%s\n", n, v)
	}
	signed, scope := strings.Join(names, ";"), at.Format("20060102")+"/us-east-1/s3/aws4_request"
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20"), headers.String(), signed, r.Header.Get("X-Amz-Content-Sha256")}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + m.SecretKey)
	for _, part := range append(strings.Split(scope, "/"), strings.Join([]string{"AWS4-HMAC-SHA256", at.Format("20060102T150405Z"), scope, hex.EncodeToString(sum[:])}, "\n")) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", m.AccessKey, scope, signed, key))
}
