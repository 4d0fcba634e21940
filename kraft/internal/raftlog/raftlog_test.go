package raftlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/internal/snapfile"
	"github.com/ringmq/ringmq/kraft/record"
	"github.com/ringmq/ringmq/tools/waittest"
)

var seedFlag = flag.Uint64("raftlog.seed", 0, "seed of the crash tests, 0: a new one each time")

const cluster = "c"

// testConf is a quorum of one.
var testConf = &pb.ConfState{Voters: []uint64{2}}

func options(dir string) Options {
	return Options{
		Dir: dir, ClusterID: cluster, Identity: "node 1", Conf: func(*image.Image) *pb.ConfState { return testConf }, SegmentBytes: 64 << 10,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func open(t testing.TB, dir string) (*Log, Recovered) {
	t.Helper()
	l, rec, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	return l, rec
}

// model is what a log should hold.
type model struct {
	hs    *pb.HardState
	ents  []*pb.Entry // from index base+1 on
	base  uint64
	baseT uint64
}

func (m model) last() uint64 { return m.base + uint64(len(m.ents)) }

// with is the model after the first n of the entries have been appended.
func (m model) with(ents []*pb.Entry, n int) model {
	if n == 0 {
		return m
	}
	keep := ents[0].GetIndex() - m.base - 1
	m.ents = append(append([]*pb.Entry(nil), m.ents[:keep]...), ents[:n]...)
	return m
}

func (m model) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "term %d vote %d;", m.hs.GetTerm(), m.hs.GetVote())
	for _, e := range m.ents {
		fmt.Fprintf(&b, " %d/%d:%d:%x", e.GetIndex(), e.GetTerm(), len(e.GetData()), bytes.TrimRight(e.GetData(), "\x00")[:min(4, len(bytes.TrimRight(e.GetData(), "\x00")))])
	}
	return b.String()
}

// read is what the log holds, from behind the model's base on.
func read(t testing.TB, l *Log, base uint64) model {
	t.Helper()
	s := l.Storage()
	hs, _, err := s.InitialState()
	if err != nil {
		t.Fatal(err)
	}
	m := model{hs: hs, base: base}
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if first > base+1 {
		t.Fatalf("the log begins at %d, the model behind %d", first, base)
	}
	if last > base {
		if m.ents, err = s.Entries(base+1, last+1, 1<<62); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// op is one call of Append.
type op struct {
	hs   *pb.HardState
	ents []*pb.Entry
}

func randomOp(rng *rand.Rand, m model) op {
	term := max(1, m.hs.GetTerm())
	newTerm := m.hs.GetTerm() == 0 || rng.IntN(8) == 0
	if newTerm {
		term = m.hs.GetTerm() + 1
	}
	start := m.last() + 1
	if commit := m.hs.GetCommit(); newTerm && start > commit+1 && rng.IntN(2) == 0 {
		start = commit + 1 + rng.Uint64N(start-commit-1) // what was not committed is replaced
	}
	var o op
	for i := range uint64(rng.IntN(4) + 1) {
		data := make([]byte, rng.IntN(3000))
		for j := range min(len(data), 1+rng.IntN(3000)) { // zeroes too: they must not pass for a torn sector when all is there
			data[j] = byte(rng.IntN(256))
		}
		o.ents = append(o.ents, &pb.Entry{Index: new(start + i), Term: new(term), Data: data})
	}
	commit := m.hs.GetCommit()
	if top := start - 1; top > commit {
		commit += rng.Uint64N(top - commit + 1)
	}
	o.hs = &pb.HardState{Term: new(term), Vote: new(uint64(rng.IntN(3))), Commit: new(commit)}
	return o
}

// copyDir copies a directory tree.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// tear gives, in the log of dir, any of the 512-byte sectors that differ from before back the content that they had there: as if power had failed
// within the last write, of which any sectors had reached the disk.
func tear(t testing.TB, rng *rand.Rand, before, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	path := files[len(files)-1]
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(before, "wal", filepath.Base(path)))
	if err != nil {
		return // a new segment: what is in it was synced before it got its name, except the last write, which went before
	}
	lost := rng.IntN(3) // none, some, all
	for at := 0; at < len(now); at += 512 {
		end := min(at+512, len(now))
		if bytes.Equal(now[at:end], sector(old, at, end)) || lost == 0 || lost == 1 && rng.IntN(2) == 0 {
			continue
		}
		copy(now[at:end], sector(old, at, end))
	}
	if err := os.WriteFile(path, now, 0o600); err != nil {
		t.Fatal(err)
	}
}

func sector(b []byte, at, end int) []byte {
	s := make([]byte, end-at)
	if at < len(b) {
		copy(s, b[at:min(end, len(b))])
	}
	return s
}

// TestCrash cuts the power within random writes. What Append had returned for is there, of the last write any prefix.
func TestCrash(t *testing.T) {
	seed := *seedFlag
	rounds := 1
	if seed == 0 {
		seed, rounds = rand.Uint64(), 30
	}
	repaired, partial := 0, 0
	for round := range rounds {
		seed += uint64(round)
		rng := rand.New(rand.NewPCG(seed, 2))
		failed := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("%s\nreplay: go test ./kraft/internal/raftlog -run TestCrash -raftlog.seed=%d", fmt.Sprintf(format, args...), seed)
		}
		dir := t.TempDir()
		l, _ := open(t, dir)
		m := model{hs: &pb.HardState{}}
		for range 4 {
			for range rng.IntN(12) {
				o := randomOp(rng, m)
				if err := l.Append(o.hs, o.ents); err != nil {
					t.Fatal(err)
				}
				m = m.with(o.ents, len(o.ents))
				m.hs = o.hs
			}
			before := copyDir(t, dir)
			o := randomOp(rng, m)
			if err := l.Append(o.hs, o.ents); err != nil {
				t.Fatal(err)
			}
			after := copyDir(t, dir)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			tear(t, rng, before, after)
			var rec Recovered
			var err error
			dir = after
			if l, rec, err = Open(options(dir)); err != nil {
				failed("open after the crash: %v", err)
			}
			if rec.Repaired {
				repaired++
			}
			got := read(t, l, 0)
			ok := got.describe() == m.describe()
			for n := 1; n <= len(o.ents) && !ok; n++ {
				next := m.with(o.ents, n)
				if ok = got.describe() == next.describe(); ok {
					partial++
				}
				if n == len(o.ents) && !ok {
					next.hs = o.hs
					ok = got.describe() == next.describe()
				}
			}
			if !ok {
				failed("acknowledged\n%s\nrecovered\n%s", m.describe(), got.describe())
			}
			m = got
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d torn tails cut, %d writes of which a part was found", repaired, partial)
}

// TestDamageIsNotATornTail damages what has been acknowledged: flipped bits, and sectors of zeroes.
func TestDamageIsNotATornTail(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	m := model{hs: &pb.HardState{}}
	rng := rand.New(rand.NewPCG(1, 1))
	var ends []int // of the log, after each write
	path := filepath.Join(dir, "wal", "0000000000000000-0000000000000000.wal")
	content := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for len(ends) < 12 {
		o := randomOp(rng, m)
		// A leader alone: what was written before has been committed.
		o.hs.Commit = new(o.ents[0].GetIndex() - 1)
		if err := l.Append(o.hs, o.ents); err != nil {
			t.Fatal(err)
		}
		m = m.with(o.ents, len(o.ents))
		m.hs = o.hs
		end, _ := walk(content(), 0)
		ends = append(ends, end)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	good := content()
	check := func(what string, at int, b []byte) {
		t.Helper()
		bad := copyDir(t, dir)
		if err := os.WriteFile(filepath.Join(bad, "wal", filepath.Base(path)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, _, err := Open(options(bad))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s at %d: %v", what, at, err)
			}
			return
		}
		defer l.Close()
		if got := read(t, l, 0); got.describe() != m.describe() {
			t.Errorf("%s at %d of %d: opened with %d entries of %d", what, at, ends[len(ends)-1], len(got.ents), len(m.ents))
		}
	}
	// In the last write a sector of zeroes cannot be told from one that never reached the disk.
	before := ends[len(ends)-2] - 512
	for range 60 {
		at := rng.IntN(before)
		b := bytes.Clone(good)
		b[at] ^= 1 << rng.IntN(8)
		check("bit flipped", at, b)
		at = rng.IntN(before) &^ 511
		b = bytes.Clone(good)
		clear(b[at : at+512])
		check("sector zeroed", at, b)
	}
}

func imageAt(t testing.TB, index, term uint64) *image.Image {
	b := image.New().Edit()
	if err := b.Apply(&record.Cluster{ClusterID: cluster, Version: 1}); err != nil {
		t.Fatal(err)
	}
	img, _ := b.Build(int64(index), int64(term))
	return img
}

func TestSnapshotsBoundTheLog(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	index := uint64(0)
	grow := func(n int) {
		t.Helper()
		for range n {
			index++
			err := l.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(index)}, []*pb.Entry{{Index: new(index), Term: new(uint64(1)), Data: make([]byte, 1000)}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	snapshot := func() snapfile.ID {
		t.Helper()
		id := snapfile.ID{Index: int64(index), Term: 1}
		if _, err := l.Snapshots().Save(cluster, imageAt(t, index, 1)); err != nil {
			t.Fatal(err)
		}
		if err := l.Compact(id, testConf, 10_000, id.Index); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for range 10 {
		grow(200)
		snapshot()
	}
	files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if len(files) > 10 {
		t.Errorf("%d segments of 64 KiB for 400 entries of 1 kB", len(files))
	}
	first, _ := l.Storage().FirstIndex()
	if in := index - first + 1; in < 5 || in > 12 {
		t.Errorf("%d entries of 1 kB in memory, 10 kB were asked for", in)
	}
	s, err := l.Storage().Snapshot()
	if err != nil || s.GetMetadata().GetIndex() != index || len(s.GetMetadata().GetConfState().GetVoters()) != 1 {
		t.Fatalf("%v, %v", s, err)
	}
	grow(5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec := open(t, dir)
	if rec.Image.Offset() != int64(index)-5 || rec.Entries != 5 || rec.Image.ClusterID() != cluster {
		t.Fatalf("recovered the image at %d and %d entries", rec.Image.Offset(), rec.Entries)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	// The newest snapshot is damaged: the older one and more of the log do.
	ids, _ := snapfile.Dir(dir).List()
	if err := os.Truncate(snapfile.Dir(dir).Path(ids[0]), 20); err != nil {
		t.Fatal(err)
	}
	l, rec = open(t, dir)
	if rec.Image.Offset() != ids[1].Index || rec.Image.Offset()+int64(rec.Entries) != int64(index) {
		t.Fatalf("recovered the image at %d and %d entries", rec.Image.Offset(), rec.Entries)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	// Both are: the node must not begin from nothing.
	if err := os.Truncate(snapfile.Dir(dir).Path(ids[1]), 20); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(options(dir)); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("opened without a snapshot: %v", err)
	}
	// Nor when the log was removed.
	if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(options(dir)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "removed") {
		t.Fatalf("opened without a log: %v", err)
	}
}

// TestCrashAroundSnapshot stops between the steps of taking a snapshot.
func TestCrashAroundSnapshot(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	for i := range uint64(20) {
		err := l.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(i)}, []*pb.Entry{{Index: new(i + 1), Term: new(uint64(1))}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Snapshots().Save(cluster, imageAt(t, 15, 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "incoming.tmp"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	crashed := copyDir(t, dir) // the file is there, the log does not know it
	l.Close()
	l, rec := open(t, crashed)
	defer l.Close()
	if rec.Image.Offset() != 0 || rec.Entries != 20 {
		t.Fatalf("recovered the image at %d and %d entries", rec.Image.Offset(), rec.Entries)
	}
}

func TestForeignLogIsRefused(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o := options(dir)
	o.Identity = "node 2"
	if _, _, err := Open(o); err == nil || !strings.Contains(err.Error(), `"node 1"`) || !strings.Contains(err.Error(), `"node 2"`) {
		t.Fatal(err)
	}
}

// redirect makes the open files of the log refer to another file.
func redirect(t testing.TB, dir, target string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("SKIPPED: a log whose device fails: %v", err)
	}
	full, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: a log whose device fails: %v", err)
	}
	defer full.Close()
	n := 0
	for _, f := range fds {
		link, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name()))
		if err != nil || !strings.HasPrefix(link, filepath.Join(dir, "wal")) || filepath.Ext(link) != ".wal" {
			continue
		}
		var fd int
		fmt.Sscan(f.Name(), &fd)
		if err := unix.Dup2(int(full.Fd()), fd); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Fatal("the log has no open segment")
	}
}

// TestFailureIsFinal makes writes fail as a full disk does, and then fdatasync alone. The log must not go on.
func TestFailureIsFinal(t *testing.T) {
	for target, want := range map[string]error{"/dev/full": unix.ENOSPC, "/dev/null": unix.EINVAL} {
		t.Run(filepath.Base(target), func(t *testing.T) {
			dir := t.TempDir()
			l, _ := open(t, dir)
			add := func(i uint64) error {
				return l.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(uint64(0))}, []*pb.Entry{{Index: new(i), Term: new(uint64(1)), Data: make([]byte, 100)}})
			}
			if err := add(1); err != nil {
				t.Fatal(err)
			}
			awaitSpare(t, dir)
			redirect(t, dir, target)
			first := add(2)
			if !errors.Is(first, ErrFailed) || !errors.Is(first, want) {
				t.Fatalf("%v, want %v", first, want)
			}
			for _, f := range []func() error{
				func() error { return add(3) },
				func() error { return l.Compact(snapfile.ID{Index: 1, Term: 1}, testConf, 1, 1) },
				func() error { return l.Install(snapfile.ID{Index: 9, Term: 1}, testConf) },
				func() error { return l.Commit(1) },
			} {
				if err := f(); !errors.Is(err, ErrFailed) || err.Error() != first.Error() {
					t.Fatalf("after the failure: %v", err)
				}
			}
			if last, _ := l.Storage().LastIndex(); last != 1 {
				t.Fatalf("the last entry is %d: one that was not written is visible", last)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// awaitSpare waits until the log's library has created its next file, which it does on a goroutine that a failed log leaves alone: created
// later, the file could get in the way of the removal of the directory.
func awaitSpare(t *testing.T, dir string) {
	t.Helper()
	waittest.Until(t, 30*time.Second, "there is a spare file", func() bool {
		spare, _ := filepath.Glob(filepath.Join(dir, "wal", "*.tmp"))
		return len(spare) > 0
	})
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	if err := l.Append(&pb.HardState{Term: new(uint64(1)), Commit: new(uint64(0))}, []*pb.Entry{{Index: new(uint64(1)), Term: new(uint64(1))}}); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := snapfile.Write(&file, cluster, imageAt(t, 100, 2)); err != nil {
		t.Fatal(err)
	}
	id := snapfile.ID{Index: 100, Term: 2}
	if _, err := l.Snapshots().Receive(cluster, id, &file); err != nil {
		t.Fatal(err)
	}
	if err := l.Install(id, testConf); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(&pb.HardState{Term: new(uint64(2)), Commit: new(uint64(100))}, []*pb.Entry{{Index: new(uint64(101)), Term: new(uint64(2))}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, rec := open(t, dir)
	defer l.Close()
	if rec.Image.Offset() != 100 || rec.Entries != 1 || raft.IsEmptyHardState(rec.HardState) {
		t.Fatalf("recovered the image at %d and %d entries", rec.Image.Offset(), rec.Entries)
	}
}

// TestCrashAroundInstall cuts the power within or after the installation of a received snapshot.
func TestCrashAroundInstall(t *testing.T) {
	seed := *seedFlag
	rounds := 1
	if seed == 0 {
		seed, rounds = rand.Uint64(), 40
	}
	var file bytes.Buffer
	if err := snapfile.Write(&file, cluster, imageAt(t, 100, 2)); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		seed += uint64(round)
		rng := rand.New(rand.NewPCG(seed, 5))
		dir := t.TempDir()
		l, _ := open(t, dir)
		if err := l.Append(&pb.HardState{Term: new(uint64(1)), Commit: new(uint64(0))}, []*pb.Entry{{Index: new(uint64(1)), Term: new(uint64(1)), Data: []byte("old")}}); err != nil {
			t.Fatal(err)
		}
		id := snapfile.ID{Index: 100, Term: 2}
		if _, err := l.Snapshots().Receive(cluster, id, bytes.NewReader(file.Bytes())); err != nil {
			t.Fatal(err)
		}
		before := copyDir(t, dir)
		if err := l.Install(id, testConf); err != nil {
			t.Fatal(err)
		}
		installed := false
		if rng.IntN(2) == 0 { // the crash comes with the write after it
			installed = true
			before = copyDir(t, dir)
			var ents []*pb.Entry
			for i := range uint64(3) {
				data := make([]byte, 1500)
				for j := range data {
					data[j] = byte(rng.IntN(255) + 1)
				}
				ents = append(ents, &pb.Entry{Index: new(101 + i), Term: new(uint64(2)), Data: data})
			}
			if err := l.Append(&pb.HardState{Term: new(uint64(2)), Commit: new(uint64(102))}, ents); err != nil {
				t.Fatal(err)
			}
		}
		after := copyDir(t, dir)
		l.Close()
		tear(t, rng, before, after)
		l, rec, err := Open(options(after))
		if err != nil {
			t.Fatalf("%v\nreplay: go test ./kraft/internal/raftlog -run TestCrashAroundInstall -raftlog.seed=%d", err, seed)
		}
		l.Close()
		if old := rec.Image.Offset() == 0 && rec.Entries == 1; old && installed || !old && rec.Image.Offset() != 100 {
			t.Fatalf("installed %v, recovered the image at %d and %d entries; seed %d", installed, rec.Image.Offset(), rec.Entries, seed)
		}
	}
}

// TestCommitIsDurable: what Commit says survives the process, without anything written after it.
func TestCommitIsDurable(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir)
	ents := []*pb.Entry{{Index: new(uint64(1)), Term: new(uint64(1))}, {Index: new(uint64(2)), Term: new(uint64(1))}, {Index: new(uint64(3)), Term: new(uint64(1))}}
	if err := l.Append(&pb.HardState{Term: new(uint64(1)), Vote: new(uint64(2)), Commit: new(uint64(0))}, ents); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(2); err != nil {
		t.Fatal(err)
	}
	if hs, _, _ := l.Storage().InitialState(); hs.GetCommit() != 2 || hs.GetTerm() != 1 || hs.GetVote() != 2 {
		t.Fatalf("%v", hs)
	}
	// The process ends here: nothing is closed.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	back, rec := open(t, copied)
	defer back.Close()
	if rec.HardState.GetCommit() != 2 || rec.HardState.GetVote() != 2 || rec.Entries != 3 {
		t.Fatalf("%v, %d entries", rec.HardState, rec.Entries)
	}
	if err := l.Commit(4); !errors.Is(err, ErrFailed) {
		t.Fatalf("an entry that is not there is committed: %v", err)
	}
}
