package wal

import (
	"fmt"
	"hash/crc32"
	"log/slog"
	"time"
)

// SyncMethod is how blocks are made durable. Which one is fastest depends on the device and the kernel, so it is measured (trial.go) and remembered
// on the target. Whatever it is, superblocks and zeroes are written durably one by one.
type SyncMethod string

// The methods.
const (
	SyncAuto  SyncMethod = ""      // what the target remembers, SyncDSync when it remembers nothing
	SyncDSync SyncMethod = "dsync" // the target is open with O_DSYNC
	SyncRWF   SyncMethod = "rwf"   // each write carries RWF_DSYNC
	// SyncFdatasync: writes go to the device's cache, and count when a flush (fdatasync) that was begun after their completion has ended.
	SyncFdatasync SyncMethod = "fdatasync"
)

// syncMethods in the order of the note, and of preference.
var syncMethods = [...]SyncMethod{SyncDSync, SyncRWF, SyncFdatasync}

// ParseSyncMethod reads a method's name; "auto" and "" are SyncAuto.
func ParseSyncMethod(s string) (SyncMethod, error) {
	if s == "" || s == "auto" {
		return SyncAuto, nil
	}
	for _, m := range syncMethods {
		if s == string(m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("wal: %q is no way to make writes durable, want %s, %s, %s or auto", s, SyncDSync, SyncRWF, SyncFdatasync)
}

// SyncOrigin is why a log uses its method.
type SyncOrigin string

// The origins.
const (
	SyncDefault    SyncOrigin = "not measured" // SyncDSync
	SyncMeasured   SyncOrigin = "measured"
	SyncFormatted  SyncOrigin = "set by format"
	SyncConfigured SyncOrigin = "configured" // by Options.Sync; not remembered
)

// SyncFigure is what a durable write of 4 KiB, one at a time, took; zero: not measured, or it did not work.
type SyncFigure struct{ P50, P99 time.Duration }

// SyncChoice is a method and the figures that led to it.
type SyncChoice struct {
	Method  SyncMethod
	Origin  SyncOrigin
	Figures map[SyncMethod]SyncFigure // nil when nothing was measured
}

func (c SyncChoice) String() string {
	s := fmt.Sprintf("%s (%s", c.Method, c.Origin)
	for _, m := range syncMethods {
		if f, ok := c.Figures[m]; ok {
			s += fmt.Sprintf("; %s p50 %.1f us, p99 %.1f us", m, float64(f.P50)/1e3, float64(f.P99)/1e3)
		}
	}
	return s + ")"
}

// log writes a line about the choice.
func (c SyncChoice) log(to *slog.Logger, message, path string) {
	args := []any{"path", path, "sync", string(c.Method), "because", string(c.Origin)}
	for _, m := range syncMethods {
		if f, ok := c.Figures[m]; ok {
			args = append(args, string(m)+"_p50", f.P50, string(m)+"_p99", f.P99)
		}
	}
	to.Info(message, args...)
}

// The note is the page on which a target remembers its choice, see FORMAT.md. It lies in the zeroes behind superblock slot 0, which no other version of
// this program looks at or writes, and it is a hint: a damaged one is no note.
const (
	noteOffset  = 16 << 10
	noteMagic   = "RINGMQSY"
	noteVersion = 1

	noVersion = 8
	noMethod  = 12 // 1 + index in syncMethods
	noFlags   = 16
	noDisk    = 20
	noFigures = 24 // p50 and p99 of each method, ns
	noZero    = noFigures + 8*len(syncMethods)

	noteFormatted = 1 << 0 // set by Format, not measured
)

// encodeNote fills page, pageBytes long.
func encodeNote(page []byte, c SyncChoice, disk Hardware) {
	clear(page[:pageBytes])
	copy(page, noteMagic)
	le.PutUint32(page[noVersion:], noteVersion)
	le.PutUint32(page[noDisk:], disk.fingerprint())
	if c.Origin == SyncFormatted {
		le.PutUint32(page[noFlags:], noteFormatted)
	}
	for i, m := range syncMethods {
		if m == c.Method {
			le.PutUint32(page[noMethod:], uint32(i+1))
		}
		f := c.Figures[m]
		le.PutUint32(page[noFigures+8*i:], clampNanos(f.P50))
		le.PutUint32(page[noFigures+8*i+4:], clampNanos(f.P99))
	}
	le.PutUint32(page[sbCRC:], crc32.Checksum(page[:sbCRC], castagnoli))
}

func clampNanos(d time.Duration) uint32 { return uint32(min(max(d, 0), 1<<32-1)) }

// decodeNote reads a note that holds for disk. ok is false when the page has none: it is blank, damaged, of another version, or was measured on another disk.
func decodeNote(page []byte, disk Hardware) (c SyncChoice, ok bool) {
	page = page[:pageBytes]
	method := le.Uint32(page[noMethod:])
	flags := le.Uint32(page[noFlags:])
	switch {
	case string(page[:len(noteMagic)]) != noteMagic || le.Uint32(page[noVersion:]) != noteVersion,
		crc32.Checksum(page[:sbCRC], castagnoli) != le.Uint32(page[sbCRC:]),
		method < 1 || method > uint32(len(syncMethods)) || flags&^noteFormatted != 0,
		flags&noteFormatted == 0 && le.Uint32(page[noDisk:]) != disk.fingerprint():
		return SyncChoice{}, false
	}
	c = SyncChoice{Method: syncMethods[method-1], Origin: SyncMeasured}
	if flags&noteFormatted != 0 {
		c.Origin = SyncFormatted
	}
	for i, m := range syncMethods {
		f := SyncFigure{time.Duration(le.Uint32(page[noFigures+8*i:])), time.Duration(le.Uint32(page[noFigures+8*i+4:]))}
		if f != (SyncFigure{}) {
			if c.Figures == nil {
				c.Figures = map[SyncMethod]SyncFigure{}
			}
			c.Figures[m] = f
		}
	}
	return c, true
}

// fingerprint tells disks apart, so that what was measured on one is not believed on another, to which a file was copied.
func (h Hardware) fingerprint() uint32 {
	return crc32.Checksum(fmt.Appendf(nil, "%s\n%s\n%s\n%t", h.Device, h.Model, h.WriteCache, h.FUA), castagnoli)
}

// readNote returns what a target remembers.
func readNote(d Device, disk Hardware) (c SyncChoice, ok bool, err error) {
	page, err := alloc(pageBytes)
	if err != nil {
		return c, false, err
	}
	defer release(page)
	if _, err := d.ReadAt(page, noteOffset); err != nil {
		return c, false, fmt.Errorf("wal: read what the target remembers: %w", err)
	}
	c, ok = decodeNote(page, disk)
	return c, ok, nil
}

// writeNote makes a target remember c.
func writeNote(d Device, c SyncChoice, disk Hardware) error {
	page, err := alloc(pageBytes)
	if err != nil {
		return err
	}
	defer release(page)
	encodeNote(page, c, disk)
	return writeFull(d, page, noteOffset)
}

// chooseSync returns how an opening of o.Path makes blocks durable. It looks before the target is locked, for a file is opened for one method; what
// another process writes there meanwhile counts at the next opening.
func chooseSync(o Options) (SyncChoice, error) {
	if o.Sync != SyncAuto {
		return SyncChoice{Method: o.Sync, Origin: SyncConfigured}, nil
	}
	none := SyncChoice{Method: SyncDSync, Origin: SyncDefault}
	d, err := openReadOnly(o.Path)
	if err != nil {
		return none, err
	}
	defer d.Close()
	if d.Size() < minCapacity {
		return none, nil
	}
	if c, ok, err := readNote(d, d.hardware()); err == nil && ok {
		return c, nil
	}
	return none, nil // a device that cannot be read says so again at once
}

// volatileWriter is what a Device may have beside its methods, and must have for SyncFdatasync.
type volatileWriter interface {
	// WriteVolatile is WriteAt without its promise: p is durable only after a Flush that begins after it has returned.
	WriteVolatile(p []byte, off int64) (int, error)
}

func isVolatileWriter(d Device) bool {
	_, ok := d.(volatileWriter)
	return ok
}
