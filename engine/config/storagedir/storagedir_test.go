package storagedir

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormatThenReopen(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "deep", "b")
	s := open(t, Options{Dirs: []string{a, b}, NodeID: 7})
	if len(s.ClusterID) != 22 || len(s.Formatted) != 2 || s.DirectoryIDs[0] == s.DirectoryIDs[1] {
		t.Fatalf("first open: %+v", s)
	}
	s.Close()
	again := open(t, Options{Dirs: []string{a, b}, NodeID: 7, ClusterID: s.ClusterID})
	if again.ClusterID != s.ClusterID || len(again.Formatted) != 0 || again.DirectoryIDs[0] != s.DirectoryIDs[0] {
		t.Fatalf("second open: %+v, first %+v", again, s)
	}
	again.Close()

	c := filepath.Join(t.TempDir(), "c")
	grown := open(t, Options{Dirs: []string{a, b, c}, NodeID: 7})
	if len(grown.Formatted) != 1 || grown.Formatted[0] != c || grown.ClusterID != s.ClusterID {
		t.Fatalf("with a new directory: %+v", grown)
	}
}

func TestGivenClusterID(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dirs: []string{dir}, NodeID: 0, ClusterID: "tlqI-G6cRxmM4uQcjodQ0Q"})
	if s.ClusterID != "tlqI-G6cRxmM4uQcjodQ0Q" {
		t.Fatalf("cluster id %q", s.ClusterID)
	}
	text, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cluster.id=tlqI-G6cRxmM4uQcjodQ0Q\n", "node.id=0\n", "version=1\n", "directory.id="} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// TestNoID: a node of several does not choose an id by itself, and leaves the directory as it is; what the directory says is enough.
func TestNoID(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(Options{Dirs: []string{dir}, NodeID: 0, Given: true})
	if !errors.Is(err, ErrNoID) || !strings.Contains(err.Error(), "cluster.id=") {
		t.Fatalf("got %v", err)
	}
	open(t, Options{Dirs: []string{dir}, NodeID: 0, ClusterID: "A", Given: true}).Close()
	if s := open(t, Options{Dirs: []string{dir}, NodeID: 0, Given: true}); s.ClusterID != "A" {
		t.Fatalf("%+v", s)
	}
}

func TestRefused(t *testing.T) {
	const good = "cluster.id=A\nnode.id=1\nversion=1\ndirectory.id=d\n"
	tests := []struct {
		name  string
		files map[string]string
		opts  Options
		want  error
		text  string
	}{
		{"other cluster", map[string]string{metaName: good}, Options{NodeID: 1, ClusterID: "B"}, ErrForeign, "is of cluster A, not of cluster B"},
		{"other node", map[string]string{metaName: good}, Options{NodeID: 2}, ErrForeign, "is of node 1 of cluster A, not of node 2"},
		{"kafka", map[string]string{metaName: good, kafkaMetadata + "/x": ""}, Options{NodeID: 1}, ErrForeign, "Apache Kafka"},
		{"not empty", map[string]string{"wal": "x", "b": "", "c": "", "d": ""}, Options{NodeID: 1}, ErrForeign, "4 other entries (b, c, d)"},
		{"version 0", map[string]string{metaName: strings.Replace(good, "version=1", "version=0", 1)}, Options{NodeID: 1}, ErrCorrupt, `version="0"`},
		{"no cluster", map[string]string{metaName: "version=1\nnode.id=1\ndirectory.id=d\n"}, Options{NodeID: 1}, ErrCorrupt, "no cluster.id"},
		{"bad node", map[string]string{metaName: strings.Replace(good, "node.id=1", "node.id=x", 1)}, Options{NodeID: 1}, ErrCorrupt, `node.id="x"`},
		{"no directory id", map[string]string{metaName: strings.Replace(good, "directory.id=d", "", 1)}, Options{NodeID: 1}, ErrCorrupt, "no directory.id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(dir, name)
				os.MkdirAll(filepath.Dir(path), 0o755)
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			tt.opts.Dirs = []string{dir}
			_, err := Open(tt.opts)
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), dir) {
				t.Fatalf("got %v, want %v with %q and the directory", err, tt.want, tt.text)
			}
		})
	}
}

func TestCopiedDirectory(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	open(t, Options{Dirs: []string{a}, NodeID: 1}).Close()
	text, _ := os.ReadFile(filepath.Join(a, metaName))
	os.WriteFile(filepath.Join(b, metaName), text, 0o644)
	if _, err := Open(Options{Dirs: []string{a, b}, NodeID: 1}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "copy") {
		t.Fatalf("got %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dirs: []string{dir}, NodeID: 1})
	if _, err := Open(Options{Dirs: []string{dir}, NodeID: 1}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second owner: %v", err)
	}
	s.Close()
	open(t, Options{Dirs: []string{dir}, NodeID: 1})
}

// TestTornFormat: a crash between creating the temporary file and the rename leaves a directory that can be formatted.
func TestTornFormat(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, metaName+".tmp"), []byte("cluster.i"), 0o644)
	if s := open(t, Options{Dirs: []string{dir}, NodeID: 1}); len(s.Formatted) != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	s := open(t, Options{Dirs: []string{dir}, NodeID: 1, ReadOnly: true})
	if len(s.Unformatted) != 1 || s.ClusterID != "" {
		t.Fatalf("%+v", s)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a look created the directory: %v", err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewID()
		b, err := base64.RawURLEncoding.DecodeString(id)
		if err != nil || len(b) != 16 || id[0] == '-' || b[6]>>4 != 4 || seen[id] {
			t.Fatalf("%q: %v", id, err)
		}
		seen[id] = true
	}
}

func open(t *testing.T, o Options) *Storage {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
