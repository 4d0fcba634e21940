package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ringmq/ringmq/kraft"
)

// walState remembers, beside the node's metadata, which write-ahead log this node last used and whether anything remained in it. Acknowledged
// records that are not uploaded yet are only there: a node that came up with an empty log in its place, because a path was changed or a device
// swapped, would have lost them without a word, and would give their offsets to other records. The cluster's metadata say the same of each broker
// (kraft.Broker.WAL), which is what a host with new disks has to go by; they also know when the log was rescued elsewhere, so that it is not missed.
//
// The file is one line: the log's uuid in hex, a state, and the node epoch that wrote it.
type walState struct {
	path  string // of the file
	uuid  [16]byte
	epoch int64
}

const (
	walStateName = "wal.state"
	walOpen      = "open"  // records may be in it
	walEmpty     = "empty" // all was uploaded at a clean shutdown
	walLost      = "lost"  // written by an operator: the log is gone for good, and what was in it is given up
)

// ErrWALMissing: the write-ahead log is another one than the log that still has records of this node.
var ErrWALMissing = errors.New("engine: the write-ahead log is not the one that this node used last")

// openWALState checks the log that was opened against the one that was used last, by this node's own note and by the cluster's (known, nil if there is none), and
// notes it as the one in use. REQUIRES: nothing was appended.
func openWALState(dir string, log [16]byte, target string, epoch int64, known *kraft.Broker) (*walState, error) {
	s := &walState{path: filepath.Join(dir, walStateName), uuid: log, epoch: epoch}
	b, err := os.ReadFile(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("engine: %w", err)
	}
	note := walNote{epoch: -1}
	if err == nil && !note.parse(strings.Fields(string(b))) {
		return nil, fmt.Errorf("engine: %s: %q is not the state of a write-ahead log", s.path, b)
	}
	if missing := note.missing(log, known); missing != [16]byte{} {
		return nil, fmt.Errorf("%w: s3.wal.path=%s holds the log %x, but log %x may still have acknowledged records that are not in the object store; put that one back, "+
			"or rescue it where it is (ringmq wal rescue), or, if it is lost for good, accept the loss by replacing the content of %s by the line: %x %s",
			ErrWALMissing, target, log, missing, s.path, missing, walLost)
	}
	return s, s.write(walOpen)
}

// walNote is the content of the file.
type walNote struct {
	uuid  [16]byte
	state string
	epoch int64 // -1: of an earlier version, or written by hand
}

func (n *walNote) parse(fields []string) bool {
	if len(fields) < 2 || len(fields) > 3 {
		return false
	}
	id, err := hex.DecodeString(fields[0])
	if err != nil || len(id) != len(n.uuid) {
		return false
	}
	n.uuid, n.state = [16]byte(id), fields[1]
	if len(fields) == 3 {
		if n.epoch, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
			return false
		}
	}
	return n.state == walOpen || n.state == walEmpty || n.state == walLost
}

// missing returns the log that would have to be there instead of log, zero if there is none.
func (n *walNote) missing(log [16]byte, known *kraft.Broker) [16]byte {
	if n.state == walOpen && n.uuid != log && !(known != nil && known.RescuedWAL == n.uuid && known.RescuedEpoch > n.epoch) {
		return n.uuid
	}
	if known != nil && known.WAL != [16]byte{} && known.WAL != log && !(n.state != walOpen && n.uuid == known.WAL) {
		return known.WAL
	}
	return [16]byte{}
}

// empty notes that nothing remains in the log, so that another one may take its place.
func (s *walState) empty() error { return s.write(walEmpty) }

// write replaces the file; it is durable when write returns.
func (s *walState) write(state string) error {
	text := fmt.Sprintf("%x %s %d\n", s.uuid, state, s.epoch)
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
