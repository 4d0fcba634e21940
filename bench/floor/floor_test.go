package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNumbers(t *testing.T) {
	if got, err := numbers("-sizes", "4096, 16384"); err != nil || len(got) != 2 || got[1] != 16384 {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "x", "0", "4096,-1"} {
		if _, err := numbers("-sizes", bad); err == nil || !strings.Contains(err.Error(), "-sizes") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPairs(t *testing.T) {
	for _, c := range []struct {
		o    options
		want []point
	}{
		{options{sizes: "4096,8192", depths: "1,2"}, []point{{4096, 1}, {4096, 2}, {8192, 1}, {8192, 2}}},
		{options{sizes: "1", depths: "1", points: "4096x1,262144x2"}, []point{{4096, 1}, {262144, 2}}},
	} {
		if got, err := c.o.pairs(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c.o, got, err)
		}
	}
	for _, bad := range []string{"4096", "4096x", "x2", "4096x2x3"} {
		if _, err := (options{points: bad}).pairs(); err == nil || !strings.Contains(err.Error(), "BYTESxDEPTH") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestMeasure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_DIRECT, 0o600)
	if errors.Is(err, unix.EINVAL) {
		t.Skip("SKIPPED: measurements; the file system of the temporary directory has no O_DIRECT: set TMPDIR to one that has it")
	} else if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	f, err := openTarget(path, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Size != 1<<20 || st.Blocks*512 < 1<<20 {
		t.Errorf("%v: %d bytes, %d blocks: not written before it is measured", err, st.Size, st.Blocks)
	}
	r, err := f.measure(t.Context(), 8192, 3, 0, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if r.Latency.Count < 3 || r.Latency.P50 <= 0 || r.Depth != 3 || r.MBPerSecond != r.PerSecond*8192/(1<<20) {
		t.Errorf("%+v", r)
	}
	for _, size := range []int{100, 32 << 20, 2 << 20} {
		if _, err := f.measure(t.Context(), size, 1, 0, time.Millisecond); err == nil {
			t.Errorf("size %d was measured", size)
		}
	}
	if err := unix.Stat(path, &st); err != nil || st.Size != 1<<20 {
		t.Errorf("the file grew to %d", st.Size)
	}
}

func TestDeviceNeedsAWord(t *testing.T) {
	err := run(t.Context(), options{device: "/dev/null", sizes: "4096", depths: "1"})
	if err == nil || !strings.Contains(err.Error(), "-overwrite") {
		t.Errorf("got %v", err)
	}
}
