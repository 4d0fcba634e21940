package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringmq/ringmq/wal"
)

// walState remembers, beside the node's metadata, which write-ahead log this node last used and whether anything remained in it. Acknowledged
// records that are not uploaded yet are only there: a node that came up with an empty log in its place, because a path was changed or a device
// swapped, would have lost them without a word, and would give their offsets to other records.
//
// The file is one line: the log's uuid in hex, a space, and "open" (records may be in it) or "empty" (all was uploaded at a clean shutdown).
type walState struct {
	path string // of the file
	uuid [16]byte
}

const (
	walStateName = "wal.state"
	walOpen      = "open"
	walEmpty     = "empty"
)

// ErrWALMissing: the write-ahead log is another one than the log that still has records of this node.
var ErrWALMissing = errors.New("engine: the write-ahead log is not the one that this node used last")

// openWALState checks the log that was opened against the one that was used last, and notes it as the one in use. REQUIRES: nothing was appended.
func openWALState(dir string, log *wal.Log, target string) (*walState, error) {
	s := &walState{path: filepath.Join(dir, walStateName), uuid: log.UUID()}
	b, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.write(walOpen)
	case err != nil:
		return nil, fmt.Errorf("engine: %w", err)
	}
	uuid, state, ok := strings.Cut(strings.TrimSpace(string(b)), " ")
	if id, err := hex.DecodeString(uuid); !ok || err != nil || len(id) != len(s.uuid) || state != walOpen && state != walEmpty {
		return nil, fmt.Errorf("engine: %s: %q is not the state of a write-ahead log", s.path, b)
	}
	if state == walOpen && uuid != hex.EncodeToString(s.uuid[:]) {
		return nil, fmt.Errorf("%w: s3.wal.path=%s holds the log %x, but log %s may still have acknowledged records that are not in the object store; put that one back, "+
			"or, if it is lost for good, accept the loss by removing %s", ErrWALMissing, target, s.uuid, uuid, s.path)
	}
	return s, s.write(walOpen)
}

// empty notes that nothing remains in the log, so that another one may take its place.
func (s *walState) empty() error { return s.write(walEmpty) }

// write replaces the file; it is durable when write returns.
func (s *walState) write(state string) error {
	text := fmt.Sprintf("%x %s\n", s.uuid, state)
	if b, err := os.ReadFile(s.path); err == nil && string(b) == text {
		return nil
	}
	if err := replaceFile(s.path, []byte(text)); err != nil {
		return fmt.Errorf("engine: note the write-ahead log in use: %w", err)
	}
	return nil
}

// replaceFile gives a file new content, all or nothing.
func replaceFile(path string, content []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
