package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// etcd's reader takes a record with a sector of zeroes in it, and a length of zero, for the end of the log, and what follows is wiped. That is right after
// a power failure, and wrong when a sector in the middle was lost: then acknowledged entries would vanish without a word. The two can be told apart,
// because a hard state is never written with a commit index that covers entries of the same write or of later ones (Log.Append sees to that). So a
// hard state behind the end which says that more was committed than there is before it proves that the end is not the end.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkTail returns an ErrCorrupt if the last segment holds such a proof.
func checkTail(walDir string) error {
	names, starts, err := segments(walDir)
	if err != nil || len(names) == 0 {
		return err
	}
	path := filepath.Join(walDir, names[len(names)-1])
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	end, last := walk(b, uint64(starts[len(starts)-1])-1)
	for at := end + 8; at+16 <= len(b); at += 8 {
		if binary.LittleEndian.Uint64(b[at:]) == 0 {
			continue
		}
		if commit := committed(b, at); commit > last {
			return fmt.Errorf("%w: %s: unreadable at byte %d, behind entry %d, but a later part says that entry %d was committed", ErrCorrupt, path, end, last, commit)
		}
	}
	return nil
}

// segments lists the files of the log, in order, and the index of the entry that each begins with.
func segments(walDir string) (names []string, starts []int64, err error) {
	files, err := os.ReadDir(walDir) // sorted by name, which begins with the sequence number
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		var seq, start uint64
		if n, err := fmt.Sscanf(f.Name(), "%016x-%016x.wal", &seq, &start); n == 2 && err == nil && filepath.Ext(f.Name()) == ".wal" {
			names, starts = append(names, f.Name()), append(starts, int64(start))
		}
	}
	return names, starts, nil
}

// walk follows the records of a segment and returns where they end, and the index of the last entry, be it in the segment (at least last) or in a
// snapshot that was received.
func walk(b []byte, last uint64) (end int, index uint64) {
	var crc uint32
	var commit uint64
	for {
		r, n := frame(b[end:])
		if r == nil {
			return end, max(last, commit)
		}
		if r.GetType() == wal.CrcType {
			crc = r.GetCrc()
		} else if crc = crc32.Update(crc, castagnoli, r.GetData()); crc != r.GetCrc() {
			return end, max(last, commit)
		}
		switch r.GetType() {
		case wal.EntryType:
			var e pb.Entry
			if proto.Unmarshal(r.GetData(), &e) == nil {
				last = e.GetIndex()
			}
		case wal.StateType:
			var hs pb.HardState
			if proto.Unmarshal(r.GetData(), &hs) == nil {
				commit = hs.GetCommit()
			}
		}
		end += n
	}
}

// committed looks for records that follow each other from b[at:] on, and returns the highest commit index in them. What the checksum of the
// record before confirms is a record, whatever it may look like.
func committed(b []byte, at int) (commit uint64) {
	prev, n := frame(b[at:])
	for prev != nil {
		at += n
		var r *walpb.Record
		if r, n = frame(b[at:]); r == nil || crc32.Update(prev.GetCrc(), castagnoli, r.GetData()) != r.GetCrc() {
			return commit
		}
		if r.GetType() == wal.StateType {
			var hs pb.HardState
			if proto.Unmarshal(r.GetData(), &hs) == nil {
				commit = max(commit, hs.GetCommit())
			}
		}
		prev = r
	}
	return commit
}

// frame parses one record of etcd's WAL: 8 bytes of length, whose highest byte gives the padding, and a protobuf. nil if there is none.
func frame(b []byte) (*walpb.Record, int) {
	if len(b) < 8 {
		return nil, 0
	}
	length := binary.LittleEndian.Uint64(b)
	size, pad := length&^(0xff<<56), uint64(0)
	if length>>63 != 0 {
		pad = length >> 56 & 7
	}
	if size == 0 || size+pad > uint64(len(b)-8) {
		return nil, 0
	}
	r := &walpb.Record{}
	if err := proto.Unmarshal(b[8:8+size], r); err != nil || r.GetType() < wal.MetadataType || r.GetType() > wal.SnapshotType {
		return nil, 0
	}
	return r, int(8 + size + pad)
}
