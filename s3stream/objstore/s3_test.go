package objstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

var ctx = context.Background()

// fakeStore answers requests as a test tells it.
func fakeStore(t *testing.T, change func(*objstore.Config), handle http.HandlerFunc) objstore.Bucket {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	c := objstore.Config{Scheme: "s3", Bucket: "bucket", Endpoint: server.URL, AccessKey: "access-key", SecretKey: "secret-key"}
	if change != nil {
		change(&c)
	}
	b, err := objstore.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told to</Message></Error>", code)
}

// TestClassify: each kind of answer becomes its error, is repeated or not, and has a remedy.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   error
		again  bool
	}{
		{404, "NoSuchKey", objstore.ErrNotFound, false},
		{404, "NoSuchBucket", objstore.ErrNoSuchBucket, false},
		{403, "AccessDenied", objstore.ErrAccessDenied, false},
		{403, "InvalidAccessKeyId", objstore.ErrBadCredentials, false},
		{403, "SignatureDoesNotMatch", objstore.ErrBadCredentials, false},
		{400, "ExpiredToken", objstore.ErrBadCredentials, false},
		{403, "RequestTimeTooSkewed", objstore.ErrClockSkew, false},
		{400, "AuthorizationHeaderMalformed", objstore.ErrInvalid, false},
		{400, "InvalidRegion", objstore.ErrWrongRegion, false},
		{301, "PermanentRedirect", objstore.ErrInvalid, false},
		{412, "PreconditionFailed", objstore.ErrExists, false},
		{416, "InvalidRange", objstore.ErrRange, false},
		{507, "XMinioStorageFull", objstore.ErrNoSpace, false},
		{503, "SlowDown", objstore.ErrSlowDown, true},
		{503, "SlowDownWrite", objstore.ErrSlowDown, true},
		{429, "Whatever", objstore.ErrSlowDown, true},
		{500, "InternalError", objstore.ErrUnavailable, true},
		{503, "XMinioServerNotInitialized", objstore.ErrUnavailable, true},
		{502, "", objstore.ErrUnavailable, true},
		{408, "RequestTimeout", objstore.ErrUnreachable, true},
		{400, "XAmzContentChecksumMismatch", objstore.ErrChecksum, true},
		{418, "Teapot", objstore.ErrInvalid, false},
	} {
		var calls atomic.Int64
		b := fakeStore(t, func(c *objstore.Config) { c.Retries = 1 }, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			refuse(w, c.status, c.code)
		})
		err := b.Put(ctx, "k", []byte("x"))
		if !errors.Is(err, c.want) || objstore.Retryable(err) != c.again {
			t.Errorf("%d %s: %v (retryable %t), want %v", c.status, c.code, err, objstore.Retryable(err), c.want)
		}
		if want := map[bool]int64{false: 1, true: 2}[c.again]; calls.Load() != want {
			t.Errorf("%d %s: %d attempts, want %d", c.status, c.code, calls.Load(), want)
		}
		if !errors.Is(err, objstore.ErrNotFound) && !errors.Is(err, objstore.ErrExists) && !errors.Is(err, objstore.ErrRange) && objstore.Remedy(err) == "" {
			t.Errorf("%v has no remedy", err)
		}
		if strings.Contains(fmt.Sprint(err, b.Name()), "secret-key") {
			t.Errorf("%v tells the secret", err)
		}
	}
}

// TestRetry: the body is sent again from its start, and success after failures is success.
func TestRetry(t *testing.T) {
	data := s3test.Random(1, 300_000)
	var calls atomic.Int64
	b := fakeStore(t, nil, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("attempt %d has %d bytes, %v", calls.Load(), len(got), err)
		}
		if calls.Add(1) < 4 {
			refuse(w, 503, "ServiceUnavailable")
		}
	})
	if err := b.Put(ctx, "k", data[:1000], data[1000:]); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 4 {
		t.Fatalf("%d attempts, want 4", calls.Load())
	}
}

// TestCompleteAnswerLost: a completed upload whose answer was lost is found to be complete.
func TestCompleteAnswerLost(t *testing.T) {
	var completes atomic.Int64
	b := fakeStore(t, nil, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && completes.Add(1) == 1:
			panic(http.ErrAbortHandler) // the connection breaks
		case r.Method == http.MethodPost:
			refuse(w, 404, "NoSuchUpload")
		default:
			w.Header().Set("Content-Length", "15")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		}
	})
	part := objstore.Part{Number: 1, Size: 15, ETag: "e"}
	if err := b.CompleteUpload(ctx, "k", "id", []objstore.Part{part}); err != nil {
		t.Fatal(err)
	}
	completes.Store(0)
	part.Size = 16 // what is there is another object
	if err := b.CompleteUpload(ctx, "k", "id", []objstore.Part{part}); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
	if err := b.CompleteUpload(ctx, "k", "id", []objstore.Part{part}); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound: without a lost answer there is no doubt", err)
	}
}

// TestBrokenBody: an answer that breaks off is repeated; one that is too short is ErrRange.
func TestBrokenBody(t *testing.T) {
	var calls atomic.Int64
	b := fakeStore(t, nil, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusPartialContent)
		n := 1000
		if calls.Add(1) < 3 {
			n = 400
		}
		w.Write(bytes.Repeat([]byte{7}, n))
	})
	dst := make([]byte, 1000)
	if err := b.GetRange(ctx, "k", 5, dst); err != nil || calls.Load() != 3 || !bytes.Equal(dst, bytes.Repeat([]byte{7}, 1000)) {
		t.Fatalf("%v after %d attempts", err, calls.Load())
	}
	if err := b.GetRange(ctx, "k", 5, make([]byte, 1001)); !errors.Is(err, objstore.ErrRange) {
		t.Fatalf("%v, want ErrRange", err)
	}
}

// TestTimeouts: a store that does not answer is given up after the attempt's timeout and after the call's; a caller that goes away sees
// its own error; and in no case are the caller's bytes touched afterwards: they are unmapped here at once.
func TestTimeouts(t *testing.T) {
	var stop sync.WaitGroup
	release := make(chan struct{})
	var attempts atomic.Int64
	stall := func(w http.ResponseWriter, r *http.Request) {
		stop.Add(1)
		defer stop.Done()
		attempts.Add(1)
		io.ReadFull(r.Body, make([]byte, 1000)) // the rest stays unread, so that the client cannot finish sending
		<-release
	}
	b := fakeStore(t, func(c *objstore.Config) { c.AttemptTimeout, c.Retries = 30*time.Millisecond, 1 }, stall)
	quick := fakeStore(t, func(c *objstore.Config) { c.CallTimeout, c.AttemptTimeout = 30*time.Millisecond, time.Minute }, stall)
	defer stop.Wait()
	defer close(release)
	put := func(ctx context.Context, b objstore.Bucket, size int) error {
		mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Munmap(mem); err != nil {
				t.Fatal(err)
			}
		}()
		return b.Put(ctx, "k", mem)
	}
	if err := put(ctx, b, 4096); !errors.Is(err, objstore.ErrUnreachable) || attempts.Load() != 2 {
		t.Fatalf("%v after %d attempts, want ErrUnreachable after 2", err, attempts.Load())
	}
	if err := put(ctx, quick, 4096); !errors.Is(err, objstore.ErrUnreachable) {
		t.Fatalf("%v, want ErrUnreachable", err)
	}
	c, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	if err := put(c, b, 64<<20); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, objstore.ErrUnreachable) {
		t.Fatalf("%v, want the caller's own deadline", err)
	}
}

// TestUnreachable: what never answers in HTTP.
func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, c := range []struct {
		endpoint string
		want     error
		text     string
	}{
		{"http://" + addr, objstore.ErrUnreachable, "refused"},
		{"http://ringmq.invalid:9000", objstore.ErrNoSuchHost, ""},
	} {
		b, err := objstore.Open(ctx, objstore.Config{Scheme: "s3", Bucket: "bucket", Endpoint: c.endpoint, AccessKey: "a", SecretKey: "s", Retries: -1})
		if err != nil {
			t.Fatal(err)
		}
		err = objstore.CheckReady(ctx, b)
		if !errors.Is(err, c.want) || !objstore.Retryable(err) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "remedy") {
			t.Fatalf("%s: %v", c.endpoint, err)
		}
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	b, err := objstore.Open(ctx, objstore.Config{Scheme: "s3", Bucket: "bucket", Endpoint: strings.Replace(plain.URL, "http", "https", 1), AccessKey: "a", SecretKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(ctx, "k"); !errors.Is(err, objstore.ErrWrongScheme) || !strings.Contains(err.Error(), "speaks http, not https") {
		t.Fatalf("https to a plain port: %v", err)
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	b, err = objstore.Open(ctx, objstore.Config{Scheme: "s3", Bucket: "bucket", Endpoint: secure.URL, AccessKey: "a", SecretKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Head(ctx, "k"); !errors.Is(err, objstore.ErrUntrusted) || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("unknown certificate: %v", err)
	}
}

// TestMaxConnections: no more requests are in flight than allowed.
func TestMaxConnections(t *testing.T) {
	var now, most atomic.Int64
	b := fakeStore(t, func(c *objstore.Config) { c.MaxConnections = 3 }, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		io.Copy(io.Discard, r.Body)
		now.Add(-1)
	})
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if err := b.Put(ctx, "k", make([]byte, 10_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() > 3 {
		t.Fatalf("%d requests at a time, want at most 3", most.Load())
	}
}

// TestVirtualHost: the name of the bucket is where PathStyle says.
func TestVirtualHost(t *testing.T) {
	for _, c := range []struct {
		style    objstore.PathStyle
		endpoint string
		want     string
	}{
		{objstore.PathStyleAuto, "http://127.0.0.1:9000", "127.0.0.1:9000/my-bucket/k"},
		{objstore.PathStyleAuto, "", "my-bucket.s3.dualstack.eu-central-1.amazonaws.com/k"},
		{objstore.PathStyleOff, "store.example:9000", "my-bucket.store.example:9000/k"},
		{objstore.PathStyleOn, "", "s3.dualstack.eu-central-1.amazonaws.com/my-bucket/k"},
	} {
		var got string
		b, err := objstore.Open(ctx, objstore.Config{
			Scheme: "s3", Bucket: "my-bucket", Endpoint: c.endpoint, PathStyle: c.style, Region: "eu-central-1", AccessKey: "a", SecretKey: "s", Retries: -1,
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				got = r.URL.Host + r.URL.Path
				return nil, errors.New("no network here")
			}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Put(ctx, "k", []byte("x")); !errors.Is(err, objstore.ErrUnreachable) || got != c.want {
			t.Errorf("%q %q: request to %s, want %s (%v)", c.endpoint, c.style, got, c.want, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestConfig(t *testing.T) {
	good := objstore.Config{Scheme: "s3", Bucket: "b", Endpoint: "http://h:1", AccessKey: "access-key", SecretKey: "the-secret"}
	for name, change := range map[string]func(*objstore.Config){
		"scheme": func(c *objstore.Config) { c.Scheme = "ftp" }, "bucket": func(c *objstore.Config) { c.Bucket = "" },
		"endpoint path": func(c *objstore.Config) { c.Endpoint = "http://h/path" }, "endpoint scheme": func(c *objstore.Config) { c.Endpoint = "ftp://h" },
		"endpoint user": func(c *objstore.Config) { c.Endpoint = "http://u:the-secret@h" }, "endpoint": func(c *objstore.Config) { c.Endpoint = "http://" },
		"style": func(c *objstore.Config) { c.PathStyle = "maybe" }, "auth": func(c *objstore.Config) { c.AuthType = "x" },
		"half credentials": func(c *objstore.Config) { c.SecretKey = "" }, "connections": func(c *objstore.Config) { c.MaxConnections = -1 },
	} {
		c := good
		change(&c)
		if _, err := objstore.Open(ctx, c); !errors.Is(err, objstore.ErrInvalid) || strings.Contains(err.Error(), "the-secret") {
			t.Errorf("%s: %v, want ErrInvalid without the secret", name, err)
		}
	}
	for _, s := range []string{good.String(), fmt.Sprintf("%v %+v %#v", good, good, good)} {
		if strings.Contains(s, "the-secret") || strings.Contains(s, "access-key") || !strings.Contains(s, "s3://b") {
			t.Errorf("printed as %s", s)
		}
	}
}

// TestCredentialsFromEnvironment checks the order of the sources.
func TestCredentialsFromEnvironment(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "MINIO_ROOT_USER",
		"MINIO_ROOT_PASSWORD", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "KAFKA_S3_ACCESS_KEY", "KAFKA_S3_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	var header string
	who := func(key, secret string) string {
		b := fakeStore(t, func(c *objstore.Config) { c.AccessKey, c.SecretKey = key, secret }, func(w http.ResponseWriter, r *http.Request) {
			header = r.Header.Get("Authorization")
		})
		if err := b.Put(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(header, "Credential=")
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	for _, step := range []struct{ name, secret, want string }{
		{"", "", ""}, // anonymous
		{"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "from-MINIO_ROOT_USER"},
		{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "from-AWS_ACCESS_KEY_ID"},
		{"KAFKA_S3_ACCESS_KEY", "KAFKA_S3_SECRET_KEY", "from-KAFKA_S3_ACCESS_KEY"},
	} {
		if step.name != "" {
			t.Setenv(step.name, "from-"+step.name)
			t.Setenv(step.secret, "some-secret")
		}
		if got := who("", ""); got != step.want {
			t.Fatalf("credentials of %q, want %q", got, step.want)
		}
	}
	if got := who("static", "secret"); got != "static" {
		t.Fatalf("credentials of %q, want static", got)
	}
}
