package objstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

// TestReadyMinIO probes a good bucket and what operators get wrong.
func TestReadyMinIO(t *testing.T) {
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	m := s3test.StartMinIO(t)
	good := m.NewBucket(t, "good")
	if err := objstore.CheckReady(ctx, good); err != nil {
		t.Fatal(err)
	}
	if err := good.List(ctx, "", func(i objstore.Info) error { return errors.New(i.Key + " is left") }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*objstore.Config)
		want   error
		text   string
	}{
		{"no such bucket", func(c *objstore.Config) { c.Bucket = "none" }, objstore.ErrNoSuchBucket, "create the bucket"},
		{"unknown key", func(c *objstore.Config) { c.AccessKey = "stranger" }, objstore.ErrBadCredentials, "check the access key"},
		{"wrong secret", func(c *objstore.Config) { c.SecretKey = "not-it-at-all" }, objstore.ErrBadCredentials, "check the access key"},
		{"anonymous", func(c *objstore.Config) { c.AccessKey, c.SecretKey = "", "" }, objstore.ErrAccessDenied, "policy"},
	} {
		conf := m.Config("good")
		c.change(&conf)
		b, err := objstore.Open(ctx, conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := objstore.CheckReady(ctx, b); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	testClaim(t, good)
	m.Stop()
	conf := m.Config("good")
	conf.Retries = -1
	b, err := objstore.Open(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := objstore.CheckReady(ctx, b); !errors.Is(err, objstore.ErrUnreachable) {
		t.Fatalf("stopped: %v, want ErrUnreachable", err)
	}
}

// TestReadySteps: whatever call fails, the probe says so and leaves as little as it can.
func TestReadySteps(t *testing.T) {
	for _, op := range []s3test.Op{s3test.OpPut, s3test.OpCreate, s3test.OpGetRange, s3test.OpHead, s3test.OpDelete, s3test.OpList, s3test.OpCreateUpload,
		s3test.OpUploadPart, s3test.OpCopyPart, s3test.OpCompleteUpload, s3test.OpAbortUpload, s3test.OpListUploads} {
		mem := objstore.NewMemory("test")
		f := s3test.NewFaults(mem, 1)
		f.SetHook(op, func(string) error { return objstore.ErrAccessDenied })
		err := objstore.CheckReady(ctx, f)
		if !errors.Is(err, objstore.ErrAccessDenied) || !strings.Contains(err.Error(), "cannot ") {
			t.Errorf("%s fails: %v", op, err)
		}
		if op == s3test.OpDelete || op == s3test.OpAbortUpload {
			continue
		}
		if err := mem.List(ctx, "", func(i objstore.Info) error { return errors.New(i.Key + " is left") }); err != nil {
			t.Errorf("%s fails: %v", op, err)
		}
		if err := mem.ListUploads(ctx, "", func(u objstore.Upload) error { return errors.New("upload of " + u.Key + " is left") }); err != nil {
			t.Errorf("%s fails: %v", op, err)
		}
	}
}

func TestClaim(t *testing.T) {
	testClaim(t, objstore.NewMemory("test"))
	dir, err := objstore.NewDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	testClaim(t, dir)
}

// testClaim needs an empty bucket.
func testClaim(t *testing.T, b objstore.Bucket) {
	t.Helper()
	now := time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)
	var mu sync.Mutex
	winners := map[string]int{}
	var wg sync.WaitGroup
	for i := range 8 { // nodes of two clusters start at the same time
		id := []string{"cluster-a", "cluster-b"}[i%2]
		wg.Go(func() {
			m, err := objstore.Claim(ctx, b, id, now)
			if err == nil && m.ClusterID == id {
				mu.Lock()
				winners[id]++
				mu.Unlock()
			} else if !errors.Is(err, objstore.ErrForeignBucket) {
				t.Errorf("claim of %s: %+v, %v", id, m, err)
			}
		})
	}
	wg.Wait()
	if len(winners) != 1 {
		t.Fatalf("winners %v, want one cluster", winners)
	}
	for id, n := range winners {
		if n != 4 {
			t.Fatalf("%d of 4 nodes of %s claimed the bucket", n, id)
		}
		m, err := objstore.Claim(ctx, b, id, now.Add(time.Hour))
		if err != nil || !m.Created.Equal(now.Truncate(time.Second)) {
			t.Fatalf("second claim: %+v, %v", m, err)
		}
		if _, err := objstore.Claim(ctx, b, "third", now); !errors.Is(err, objstore.ErrForeignBucket) || !strings.Contains(err.Error(), id) {
			t.Fatalf("a stranger's claim: %v, want ErrForeignBucket with the name %s", err, id)
		}
	}
	for _, id := range []string{"", "a/b", "..", "a\nb"} {
		if _, err := objstore.Claim(ctx, b, id, now); !errors.Is(err, objstore.ErrInvalid) {
			t.Fatalf("claim for %q: %v, want ErrInvalid", id, err)
		}
	}
	if err := b.Put(ctx, objstore.MarkerKey, []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if _, err := objstore.Claim(ctx, b, "cluster-a", now); !errors.Is(err, objstore.ErrForeignBucket) {
		t.Fatalf("garbage in place of the marker: %v", err)
	}
}

// TestClaimAnswerLost: a claim whose answer was lost succeeds when it is repeated, and when the bucket repeats it.
func TestClaimAnswerLost(t *testing.T) {
	f := s3test.NewFaults(objstore.NewMemory("test"), 1)
	f.SetOpRates(s3test.OpCreate, s3test.Rates{After: 1})
	if _, err := objstore.Claim(ctx, f, "c", time.Now()); !errors.Is(err, objstore.ErrUnreachable) {
		t.Fatalf("%v, want ErrUnreachable", err)
	}
	if _, err := objstore.Claim(ctx, f, "c", time.Now()); err != nil {
		t.Fatal(err)
	}
	c, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := objstore.Claim(c, f, "c", time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, want context.Canceled", err)
	}
}
