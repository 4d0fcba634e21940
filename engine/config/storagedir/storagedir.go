package storagedir

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ringmq/ringmq/engine/config"
)

// Errors that callers and operators tell apart.
var (
	ErrForeign = errors.New("storagedir: directory belongs to another cluster or node")
	ErrInUse   = errors.New("storagedir: directory is in use by another process")
	ErrNoID    = errors.New("storagedir: nobody gives the id of the cluster")
	ErrCorrupt = errors.New("storagedir: bad meta.properties")
)

const (
	metaName = "meta.properties"
	lockName = ".lock"
	// kafkaMetadata is the first thing that Apache Kafka creates in its metadata directory.
	kafkaMetadata = "__cluster_metadata-0"
)

// Options say what the directories should be.
type Options struct {
	Dirs      []string // absolute, at least one; created when missing
	NodeID    int32
	ClusterID string // "" accepts what the directories say and generates one when they say nothing
	Given     bool   // refuse to generate a cluster id: a node of several that chose its own would be alone in its cluster
	ReadOnly  bool   // judge only: lock nothing, create nothing; missing identities are reported in Storage.Unformatted
}

// Storage is a set of directories that this process owns.
type Storage struct {
	ClusterID string
	NodeID    int32
	// DirectoryIDs are parallel to Options.Dirs; "" for unformatted ones.
	DirectoryIDs []string
	// Formatted lists the directories that got their identity now.
	Formatted []string
	// Unformatted lists those without identity after a ReadOnly look.
	Unformatted []string

	locks []*os.File
}

// meta is the content of meta.properties.
type meta struct {
	clusterID   string
	nodeID      int32
	directoryID string
}

// Open locks and verifies the directories, and gives those without identity theirs. On error nothing stays locked.
func Open(o Options) (*Storage, error) {
	if len(o.Dirs) == 0 {
		return nil, errors.New("storagedir: no directory")
	}
	s := &Storage{ClusterID: o.ClusterID, NodeID: o.NodeID, DirectoryIDs: make([]string, len(o.Dirs))}
	if err := s.open(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Storage) open(o Options) error {
	found := make([]*meta, len(o.Dirs))
	for i, dir := range o.Dirs {
		if !o.ReadOnly {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("storagedir: %w", err)
			}
			if err := s.lock(dir); err != nil {
				return err
			}
		}
		m, err := inspect(dir)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		found[i] = m
		s.DirectoryIDs[i] = m.directoryID
		if s.ClusterID == "" {
			s.ClusterID = m.clusterID
		}
		switch {
		case m.clusterID != s.ClusterID:
			return fmt.Errorf("%w: %s is of cluster %s, not of cluster %s: correct cluster.id, or give this node log.dirs of its own", ErrForeign, dir, m.clusterID, s.ClusterID)
		case m.nodeID != o.NodeID:
			return fmt.Errorf("%w: %s is of node %d of cluster %s, not of node %d: correct node.id, or give this node log.dirs of its own", ErrForeign, dir, m.nodeID, m.clusterID, o.NodeID)
		}
		for j, other := range s.DirectoryIDs[:i] {
			if other == m.directoryID {
				return fmt.Errorf("%w: %s and %s carry the same directory.id %s: one is a copy", ErrForeign, o.Dirs[j], dir, other)
			}
		}
	}
	if s.ClusterID == "" && !o.ReadOnly {
		if o.Given {
			return fmt.Errorf("%w: set cluster.id, the same on every node (for a new cluster: cluster.id=%s)", ErrNoID, NewID())
		}
		s.ClusterID = NewID()
	}
	for i, dir := range o.Dirs {
		switch {
		case found[i] != nil:
		case o.ReadOnly:
			s.Unformatted = append(s.Unformatted, dir)
		default:
			m := meta{clusterID: s.ClusterID, nodeID: o.NodeID, directoryID: NewID()}
			if err := write(dir, m); err != nil {
				return err
			}
			s.DirectoryIDs[i] = m.directoryID
			s.Formatted = append(s.Formatted, dir)
		}
	}
	return nil
}

// Close releases the locks.
func (s *Storage) Close() error {
	var errs []error
	for _, f := range s.locks {
		errs = append(errs, f.Close()) // closing drops the lock
	}
	s.locks = nil
	return errors.Join(errs...)
}

func (s *Storage) lock(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("storagedir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w: %s: end it, or give this node log.dirs of its own", ErrInUse, dir)
		}
		return fmt.Errorf("storagedir: lock %s: %w", dir, err)
	}
	s.locks = append(s.locks, f)
	return nil
}

// inspect reads a directory's identity; nil if it has none and may be given one.
func inspect(dir string) (*meta, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("storagedir: %w", err)
	}
	var names []string
	has := false
	for _, e := range entries {
		switch n := e.Name(); {
		case n == kafkaMetadata:
			return nil, fmt.Errorf("%w: %s holds the data of an Apache Kafka node (%s)", ErrForeign, dir, kafkaMetadata)
		case n == metaName:
			has = true
		case n == lockName, n == "lost+found", strings.HasPrefix(n, metaName+".tmp"):
		default:
			names = append(names, n)
		}
	}
	if has {
		return read(dir)
	}
	if len(names) > 0 {
		slices.Sort(names)
		some := strings.Join(names[:min(3, len(names))], ", ")
		return nil, fmt.Errorf("%w: %s has no %s but holds %d other entries (%s): use an empty directory", ErrForeign, dir, metaName, len(names), some)
	}
	return nil, nil
}

func read(dir string) (*meta, error) {
	path := filepath.Join(dir, metaName)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("storagedir: %w", err)
	}
	defer f.Close()
	props, err := config.ParseProperties(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	values := map[string]string{}
	for _, p := range props {
		values[p.Key] = p.Value
	}
	if v := values["version"]; v != "1" {
		return nil, fmt.Errorf("%w: %s: version=%q, allowed: 1", ErrCorrupt, path, v)
	}
	m := &meta{clusterID: values["cluster.id"], directoryID: values["directory.id"]}
	if m.clusterID == "" {
		return nil, fmt.Errorf("%w: %s: no cluster.id", ErrCorrupt, path)
	}
	n, err := strconv.ParseInt(values["node.id"], 10, 32)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%w: %s: node.id=%q, allowed: a number from 0 up", ErrCorrupt, path, values["node.id"])
	}
	m.nodeID = int32(n)
	if m.directoryID == "" {
		return nil, fmt.Errorf("%w: %s: no directory.id", ErrCorrupt, path)
	}
	return m, nil
}

// write creates meta.properties. A crash leaves it whole or absent, and possibly a temporary file that the next start overwrites.
func write(dir string, m meta) error {
	path := filepath.Join(dir, metaName)
	text := fmt.Sprintf("#\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n", m.clusterID, m.directoryID, m.nodeID)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("storagedir: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("storagedir: write %s: %w", path, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// NewID returns a random id as Kafka writes them: 16 bytes of a version 4 UUID in URL-safe base64 without padding, 22 characters that
// do not begin with a dash.
func NewID() string {
	for {
		var b [16]byte
		rand.Read(b[:]) // never fails
		b[6] = b[6]&0x0f | 0x40
		b[8] = b[8]&0x3f | 0x80
		if id := base64.RawURLEncoding.EncodeToString(b[:]); id[0] != '-' {
			return id
		}
	}
}
