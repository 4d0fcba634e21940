package wal

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Info is what a target holds, as far as reading alone can tell.
type Info struct {
	Path     string
	Bytes    int64    // size of the target
	Hardware Hardware // the disk under it
	// Sync is how an opening makes blocks durable when its options do not say; SyncDefault before that was measured.
	Sync      SyncChoice
	Unwritten int64 // bytes of a file that were never written: they are filled while the log is used
	// Found says what a target without a valid superblock holds, "" when it is blank; see Slots for a log.
	Found string
	Slots [2]SlotInfo

	// The rest describes the log of the newest valid superblock, Slots[Newest]; Newest is -1 when there is none.
	Newest  int
	Blocks  int64
	Records int64
	Used    int64    // bytes from trim to end
	End     Position // where the chain of blocks ends
	Stop    string   // why it ends there
	// Corrupt is why End cannot be the true end: acknowledged records are damaged. nil when all is well.
	Corrupt error
}

// SlotInfo is one copy of the superblock.
type SlotInfo struct {
	Fault      error // why the copy is not valid; the rest is then zero
	UUID       [16]byte
	Sequence   uint64
	ClusterID  string
	NodeID     int32
	NodeEpoch  int64
	Capacity   int64
	Generation uint32
	GenStart   Position
	Trim       Position
	Durable    Position
	Clean      bool
}

// DumpOptions says what Dump writes beside the superblocks and the blocks of the chain.
type DumpOptions struct {
	Records bool // every record with its first bytes
	// All goes on behind the end of the chain and lists every sound block header in the ring, with the reason why it is not
	// part of the log: left from an earlier round, an earlier generation, another log, or behind a damaged block.
	All bool
}

// Inspect reads a target and judges it as Recover would. It takes no lock and writes nothing; of a log in use it shows a moving picture.
func Inspect(ctx context.Context, path string) (Info, error) {
	return inspect(ctx, path, func(*Info) {}, func(header, []byte) error { return nil })
}

// Identify says whose log a target holds, by its newest superblock. It takes no lock and reads nothing else. Errors: ErrForeign, and what the operating system
// says.
func Identify(path string) (SlotInfo, error) {
	d, err := openReadOnly(path)
	if err != nil {
		return SlotInfo{}, err
	}
	defer d.Close()
	if d.Size() < minCapacity {
		return SlotInfo{}, &ForeignError{Path: path, Found: fmt.Sprintf("only %d bytes", d.Size())}
	}
	s, faults, err := loadSuperblocks(d)
	if err != nil {
		return SlotInfo{}, err
	}
	if faults[0] != nil && faults[1] != nil {
		found, err := inventory(d)
		if err == nil {
			err = &ForeignError{Path: path, Found: cmp.Or(found, "zeroes, but no superblock")}
		}
		return SlotInfo{}, err
	}
	return slotInfo(d, int(s.Slot), nil)
}

// Dump writes a readable account of the target to w and goes on past damage.
func Dump(ctx context.Context, w io.Writer, path string, o DumpOptions) error {
	out := bufio.NewWriter(w)
	info, err := inspect(ctx, path, func(info *Info) { dumpTarget(out, info) }, func(h header, b []byte) error {
		dumpHeader(out, h, "")
		if !o.Records {
			return nil
		}
		return h.records(b, func(pos Position, data []byte) error {
			_, err := fmt.Fprintf(out, "    record %d length %d %s\n", pos, len(data), hex.EncodeToString(data[:min(len(data), 32)]))
			return err
		})
	})
	if err != nil || info.Newest < 0 {
		return errors.Join(err, out.Flush())
	}
	fmt.Fprintf(out, "end %d: %s; %d blocks, %d records, %d bytes\n", info.End, info.Stop, info.Blocks, info.Records, info.Used)
	if info.Corrupt != nil {
		fmt.Fprintf(out, "%v\n", info.Corrupt)
	}
	if o.All {
		if err := dumpAll(ctx, out, path, info); err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	return out.Flush()
}

func dumpTarget(out io.Writer, info *Info) {
	fmt.Fprintf(out, "target %s, %d bytes\n", info.Path, info.Bytes)
	if info.Newest < 0 {
		found := info.Found
		if found == "" {
			found = "nothing but zeroes"
		}
		fmt.Fprintf(out, "holds %s\n", found)
		return
	}
	for i, s := range info.Slots {
		if s.Fault != nil {
			fmt.Fprintf(out, "superblock %d: %v\n", i, s.Fault)
			continue
		}
		fmt.Fprintf(out, "superblock %d: sequence %d uuid %x cluster %q node %d epoch %d capacity %d generation %d from %d trim %d durable %d clean %v\n",
			i, s.Sequence, s.UUID, s.ClusterID, s.NodeID, s.NodeEpoch, s.Capacity, s.Generation, s.GenStart, s.Trim, s.Durable, s.Clean)
	}
	fmt.Fprintf(out, "durable by %v\n", info.Sync)
	fmt.Fprintf(out, "chain from %d:\n", info.Slots[info.Newest].Trim)
}

func dumpHeader(out io.Writer, h header, note string) {
	fmt.Fprintf(out, "  block %d length %d used %d records %d generation %d durable %d prev %08x chain %08x%s\n",
		h.Offset, h.Length, h.Used, h.Records, h.Generation, h.Durable, h.Prev, h.Chain, note)
}

// inspect calls target when it knows what the target is, and then visit with every block of the chain.
func inspect(ctx context.Context, path string, target func(*Info), visit func(h header, b []byte) error) (Info, error) {
	d, err := openReadOnly(path)
	if err != nil {
		return Info{}, err
	}
	defer d.Close()
	info := Info{Path: path, Bytes: d.Size(), Hardware: d.hardware(), Newest: -1, Sync: SyncChoice{Method: SyncDSync, Origin: SyncDefault}}
	if d.Size() < minCapacity {
		info.Found = fmt.Sprintf("only %d bytes", d.Size())
		info.Slots[0].Fault, info.Slots[1].Fault = errNoMagic, errNoMagic
		target(&info)
		return info, nil
	}
	holes, err := d.Holes()
	if err != nil {
		return info, err
	}
	for _, h := range holes {
		info.Unwritten += h[1] - h[0]
	}
	s, faults, err := loadSuperblocks(d)
	if err != nil {
		return info, err
	}
	for i, fault := range faults {
		if info.Slots[i], err = slotInfo(d, i, fault); err != nil {
			return info, err
		}
	}
	if faults[0] != nil && faults[1] != nil {
		if info.Found, err = inventory(d); err == nil {
			target(&info)
		}
		return info, err
	}
	info.Newest = int(s.Slot)
	if c, ok, err := readNote(d, info.Hardware); err != nil {
		return info, err
	} else if ok {
		info.Sync = c
	}
	target(&info)
	sc, err := newScanner(d, &s, readBytes)
	if err != nil {
		return info, err
	}
	defer sc.r.close()
	m := &recoveryMemory{pool: newPool(0, func() {})} // budget 0: one buffer, used again for every block
	defer m.close()
	info.End, err = sc.walk(ctx, m.get, func(h header, b []byte) error {
		info.Blocks++
		info.Records += int64(h.Records)
		return visit(h, b)
	})
	if err != nil {
		return info, err
	}
	info.Used, info.Stop = int64(info.End-s.Trim), sc.stop
	err = sc.judgeEnd(info.End)
	if errors.Is(err, ErrCorrupt) {
		info.Corrupt, err = err, nil
	}
	return info, err
}

func slotInfo(d Device, slot int, fault error) (SlotInfo, error) {
	if fault != nil {
		return SlotInfo{Fault: fault}, nil
	}
	page, err := alloc(pageBytes)
	if err != nil {
		return SlotInfo{}, err
	}
	defer release(page)
	if _, err := d.ReadAt(page, int64(slot)*slotStride); err != nil {
		return SlotInfo{}, fmt.Errorf("wal: read superblock %d: %w", slot, err)
	}
	s, err := decodeSuperblock(page, uint32(slot), d.Size())
	if err != nil {
		return SlotInfo{Fault: err}, nil // changed since: the log is in use
	}
	return SlotInfo{
		UUID: s.UUID, Sequence: s.Sequence, ClusterID: s.ClusterID, NodeID: s.NodeID, NodeEpoch: s.NodeEpoch, Capacity: s.Capacity,
		Generation: s.Generation, GenStart: s.GenStart, Trim: s.Trim, Durable: s.Durable, Clean: s.Clean,
	}, nil
}

// dumpAll looks at every page of the ring and lists block headers that are not in the chain.
func dumpAll(ctx context.Context, out io.Writer, path string, info Info) error {
	d, err := openReadOnly(path)
	if err != nil {
		return err
	}
	defer d.Close()
	s, _, err := loadSuperblocks(d)
	if err != nil {
		return err
	}
	r, err := newReadahead(d, s.Capacity, readBytes)
	if err != nil {
		return err
	}
	defer r.close()
	fmt.Fprintf(out, "outside the chain:\n")
	for at := int64(ringStart); at < s.Capacity; {
		if err := ended(ctx); err != nil {
			return err
		}
		r.seek(at)
		w, err := r.window()
		if err != nil {
			fmt.Fprintf(out, "  %v\n", err)
			at += readBytes
			continue
		}
		if len(w) == 0 {
			break
		}
		h, err := decodeHeader(w)
		r.skip(pageBytes)
		if note := why(&s, info, h, at); err == nil && note != "" {
			dumpHeader(out, h, fmt.Sprintf(" at %d: %s", at, note))
		}
		at += pageBytes
	}
	return nil
}

// why says why a sound header at a place on the target is not part of the chain, "" when it is.
func why(s *superblock, info Info, h header, at int64) string {
	switch {
	case h.LogID != s.logID():
		return fmt.Sprintf("of log %016x", h.LogID)
	case s.physical(max(h.Offset, s.Base)) != at || h.Offset < s.Base:
		return "misplaced, or bytes of a record"
	case h.Offset < s.Trim:
		return "trimmed"
	case h.Offset >= info.End && h.Generation < s.Generation:
		return "left by an earlier generation"
	case h.Offset >= info.End:
		return "behind the end"
	}
	return ""
}

// readOnly is a target open for reading, without a lock.
type readOnly struct{ fileDevice }

func (r *readOnly) WriteAt([]byte, int64) (int, error) { return 0, unix.EBADF }
func (r *readOnly) Flush() error                       { return nil }
func (r *readOnly) Close() error                       { return unix.Close(r.fd) }

func openReadOnly(path string) (*readOnly, error) {
	r := &readOnly{fileDevice{path: path, direct: true}}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "wal: stat", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFBLK:
		r.block = true
	default:
		return nil, fmt.Errorf("wal: %s is neither a regular file nor a block device", path)
	}
	fd, err := openRetry(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC)
	if err == unix.EINVAL {
		r.direct = false
		fd, err = openRetry(path, unix.O_RDONLY|unix.O_CLOEXEC)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "wal: open", Path: path, Err: err}
	}
	r.fd = fd
	if err := r.measure(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return r, nil
}
