package wal

import (
	"errors"
	"hash/crc32"
	"testing"

	"github.com/ringmq/ringmq/wal/waltest"
)

// asVersion1 turns the superblock of a slot into one of version 1.
func asVersion1(d *waltest.Disk, slot int) {
	page := d.Bytes()[slot*slotStride:][:pageBytes]
	le.PutUint32(page[sbVersion:], formatEmpty)
	le.PutUint32(page[sbStartChain:], 0)
	le.PutUint32(page[sbCRC:], crc32.Checksum(page[:sbCRC], castagnoli))
}

// TestOldFormat: a log of version 1 is opened when a clean stop has left nothing in it. With records, or when only one slot says that there are
// none, it is refused, and nobody is told to format it.
func TestOldFormat(t *testing.T) {
	o := testOptions(t)
	d := waltest.New(1 << 20)
	o.Path, o.Device, o.Logger = "", d, nil
	l, _ := recovered(t, o)
	mustAppend(t, l, newWaiter(), 100)
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	for _, slots := range [][]int{{0, 1}, {0}, {1}} {
		old := waltest.FromImage(append([]byte(nil), d.Bytes()...))
		for _, slot := range slots {
			asVersion1(old, slot)
		}
		o.Device = old
		var foreign *ForeignError
		if _, err := Open(o); !errors.Is(err, ErrOldFormat) || errors.As(err, &foreign) {
			t.Errorf("records, version 1 in slots %v: %v", slots, err)
		}
	}
	d.Reopen()
	o.Device = d
	l, all := recovered(t, o)
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	if err := l.Trim(l.Next()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(true); err != nil {
		t.Fatal(err)
	}
	asVersion1(d, 0)
	asVersion1(d, 1)
	for want := range 2 { // empty, and again as version 2 with a record
		d.Reopen()
		l, all := recovered(t, o)
		if len(all) != want {
			t.Fatalf("%d records, want %d", len(all), want)
		}
		w := newWaiter()
		mustAppend(t, l, w, 100)
		w.wait(1)
		if err := l.Close(false); err != nil {
			t.Fatal(err)
		}
	}
}
