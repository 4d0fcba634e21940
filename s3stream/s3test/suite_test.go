package s3test_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ringmq/ringmq/s3stream/objstore"
	"github.com/ringmq/ringmq/s3stream/s3test"
)

func TestMemory(t *testing.T) {
	s3test.TestBucket(t, func(*testing.T) objstore.Bucket { return objstore.NewMemory("test") })
}

func TestDir(t *testing.T) {
	s3test.TestBucket(t, func(t *testing.T) objstore.Bucket {
		b, err := objstore.NewDir(t.TempDir() + "/bucket")
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}

func TestMinIO(t *testing.T) {
	m := s3test.StartMinIO(t)
	var n atomic.Int64
	s3test.TestBucket(t, func(t *testing.T) objstore.Bucket { return m.NewBucket(t, fmt.Sprintf("bucket-%d", n.Add(1))) })
}

// TestFaultsQuiet: the wrapper alone changes nothing.
func TestFaultsQuiet(t *testing.T) {
	s3test.TestBucket(t, func(*testing.T) objstore.Bucket { return s3test.NewFaults(objstore.NewMemory("test"), 1) })
}
