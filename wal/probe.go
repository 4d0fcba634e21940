package wal

import (
	"bytes"
	"fmt"
)

// probeBytes is how much of the beginning of a target is looked at.
const probeBytes = 1 << 20

// signature is something well known that a target may hold.
type signature struct {
	at    int
	magic string
	name  string
}

// Offsets and magics as blkid and the kernel know them.
var signatures = []signature{
	{0x438, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{0, "XFSB", "an XFS file system"},
	{0x10040, "_BHRfS_M", "a btrfs file system"},
	{0x400, "\x10\x20\xf5\xf2", "an F2FS file system"},
	{3, "NTFS    ", "an NTFS file system"},
	{82, "FAT32   ", "a FAT file system"},
	{54, "FAT16   ", "a FAT file system"},
	{54, "FAT12   ", "a FAT file system"},
	{3, "EXFAT   ", "an exFAT file system"},
	{0, "hsqs", "a squashfs file system"},
	{0x8001, "CD001", "an ISO 9660 file system"},
	{0, "LUKS\xba\xbe", "a LUKS encrypted volume"},
	{0x218, "LVM2 001", "an LVM physical volume"},
	{0x0, "LABELONE", "an LVM physical volume"},
	{0x200, "LABELONE", "an LVM physical volume"},
	{0xff6, "SWAPSPACE2", "a swap area"},
	{0x1000, "\xfc\x4e\x2b\xa9", "a Linux software RAID member"},
	{0, "\xfc\x4e\x2b\xa9", "a Linux software RAID member"},
	{0x200, "EFI PART", "a GPT partition table"},
	{0x1000, "EFI PART", "a GPT partition table"},
	{0x1fe, "\x55\xaa", "an MBR partition table or boot sector"},
}

// identify says what head, the beginning of a target, and tail, its last page, hold; "" when both are blank.
func identify(head, tail []byte) string {
	for _, s := range signatures {
		if len(head) >= s.at+len(s.magic) && string(head[s.at:s.at+len(s.magic)]) == s.magic {
			return s.name
		}
	}
	// ZFS keeps its uberblocks from 128 KiB on, in either byte order.
	for at := 128 << 10; at+8 <= min(len(head), 256<<10); at += 1024 {
		if v := le.Uint64(head[at:]); v == 0x00bab10c || v == 0x0cb1ba0000000000 {
			return "a ZFS pool member"
		}
	}
	if len(tail) >= 512 && bytes.Contains(tail, []byte("EFI PART")) {
		return "the backup of a GPT partition table"
	}
	if i := firstNonZero(head); i >= 0 {
		return fmt.Sprintf("unknown data (first byte that is not zero at %d)", i)
	}
	return ""
}

func firstNonZero(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return -1
}
