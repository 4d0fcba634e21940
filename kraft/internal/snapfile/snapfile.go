package snapfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ringmq/ringmq/kraft/image"
	"github.com/ringmq/ringmq/kraft/record"
)

// ErrCorrupt: the file is damaged, incomplete, or no snapshot at all.
var ErrCorrupt = errors.New("snapshot: corrupt")

const (
	magic   = "RMQ-SNAP"
	version = 1

	// chunkBytes is the size from which a chunk is closed.
	chunkBytes = 256 << 10
	// maxChunkBytes bounds what a reader allocates: one record of the largest batch, and a chunk before it.
	maxChunkBytes = 80 << 20
	// maxClusterID bounds the cluster id in the header.
	maxClusterID = 1 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Meta says what a snapshot is a snapshot of.
type Meta struct {
	ClusterID string
	Index     int64 // last entry of the log that it covers
	Term      int64 // raft term of that entry
}

// Write writes the snapshot of an image.
func Write(w io.Writer, clusterID string, img *image.Image) error {
	if len(clusterID) > maxClusterID {
		return fmt.Errorf("snapshot: cluster id of %d bytes", len(clusterID))
	}
	h := append([]byte(nil), magic...)
	h = binary.LittleEndian.AppendUint32(h, version)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(clusterID)))
	h = append(h, clusterID...)
	h = binary.LittleEndian.AppendUint64(h, uint64(img.Offset()))
	h = binary.LittleEndian.AppendUint64(h, uint64(img.Term()))
	h = binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
	if _, err := w.Write(h); err != nil {
		return err
	}
	c := chunker{w: w, buf: make([]byte, chunkHead, chunkHead+chunkBytes+4096)}
	if err := img.Records(c.add); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	f := binary.LittleEndian.AppendUint32(nil, 0)
	f = binary.LittleEndian.AppendUint64(f, c.total)
	f = binary.LittleEndian.AppendUint32(f, crc32.Checksum(f, castagnoli))
	_, err := w.Write(f)
	return err
}

// chunkHead is the room for length, count and checksum in front of a chunk.
const chunkHead = 12

type chunker struct {
	w     io.Writer
	buf   []byte // chunkHead bytes of room, then records
	count uint32
	total uint64
}

func (c *chunker) add(r record.Record) error {
	c.buf = record.Append(c.buf, r)
	c.count++
	c.total++
	if len(c.buf) < chunkHead+chunkBytes {
		return nil
	}
	return c.flush()
}

func (c *chunker) flush() error {
	if c.count == 0 {
		return nil
	}
	binary.LittleEndian.PutUint32(c.buf[0:], uint32(len(c.buf)-chunkHead))
	binary.LittleEndian.PutUint32(c.buf[4:], c.count)
	binary.LittleEndian.PutUint32(c.buf[8:], chunkCRC(c.buf[:8], c.buf[chunkHead:]))
	_, err := c.w.Write(c.buf)
	c.buf, c.count = c.buf[:chunkHead], 0
	return err
}

func chunkCRC(head, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}

// Read reads a snapshot to its end and returns the image. Errors match ErrCorrupt, or are of r, or of package record and image.
func Read(r io.Reader) (*image.Image, Meta, error) {
	m, err := readHeader(r)
	if err != nil {
		return nil, m, err
	}
	b := image.New().Edit()
	var total uint64
	var head [16]byte
	var buf []byte
	for {
		if err := readFull(r, head[:4]); err != nil {
			return nil, m, err
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n == 0 {
			break
		}
		if n > maxChunkBytes {
			return nil, m, fmt.Errorf("%w: chunk of %d bytes, the most is %d", ErrCorrupt, n, maxChunkBytes)
		}
		if err := readFull(r, head[4:chunkHead]); err != nil {
			return nil, m, err
		}
		if buf, err = readGrowing(r, buf, int(n)); err != nil {
			return nil, m, err
		}
		if got, want := chunkCRC(head[:8], buf), binary.LittleEndian.Uint32(head[8:]); got != want {
			return nil, m, fmt.Errorf("%w: chunk checksum %08x, want %08x", ErrCorrupt, got, want)
		}
		count := binary.LittleEndian.Uint32(head[4:])
		if err := applyChunk(b, buf, count); err != nil {
			return nil, m, err
		}
		total += uint64(count)
	}
	if err := readFull(r, head[4:16]); err != nil {
		return nil, m, err
	}
	if got, want := crc32.Checksum(head[:12], castagnoli), binary.LittleEndian.Uint32(head[12:]); got != want {
		return nil, m, fmt.Errorf("%w: footer checksum %08x, want %08x", ErrCorrupt, got, want)
	}
	if want := binary.LittleEndian.Uint64(head[4:]); total != want {
		return nil, m, fmt.Errorf("%w: %d records, want %d", ErrCorrupt, total, want)
	}
	if n, err := r.Read(head[:1]); n != 0 || err != io.EOF {
		return nil, m, fmt.Errorf("%w: bytes after the footer", ErrCorrupt)
	}
	img, _ := b.Build(m.Index, m.Term)
	return img, m, nil
}

func readHeader(r io.Reader) (Meta, error) {
	h := make([]byte, len(magic)+8, 256)
	if err := readFull(r, h); err != nil {
		return Meta{}, err
	}
	if string(h[:len(magic)]) != magic {
		return Meta{}, fmt.Errorf("%w: begins with %q", ErrCorrupt, h[:len(magic)])
	}
	if v := binary.LittleEndian.Uint32(h[8:]); v != version {
		return Meta{}, fmt.Errorf("%w: snapshot format %d, this program knows %d", record.ErrUnknown, v, version)
	}
	n := binary.LittleEndian.Uint32(h[12:])
	if n > maxClusterID {
		return Meta{}, fmt.Errorf("%w: cluster id of %d bytes", ErrCorrupt, n)
	}
	rest := make([]byte, n+20)
	if err := readFull(r, rest); err != nil {
		return Meta{}, err
	}
	h = append(h, rest...)
	end := len(h) - 4
	if got, want := crc32.Checksum(h[:end], castagnoli), binary.LittleEndian.Uint32(h[end:]); got != want {
		return Meta{}, fmt.Errorf("%w: header checksum %08x, want %08x", ErrCorrupt, got, want)
	}
	m := Meta{
		ClusterID: string(rest[:n]),
		Index:     int64(binary.LittleEndian.Uint64(rest[n:])),
		Term:      int64(binary.LittleEndian.Uint64(rest[n+8:])),
	}
	if m.Index < 0 || m.Term < 0 {
		return m, fmt.Errorf("%w: index %d, term %d", ErrCorrupt, m.Index, m.Term)
	}
	return m, nil
}

func applyChunk(b *image.Builder, body []byte, count uint32) error {
	for range count {
		rec, n, err := record.Read(body)
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if err := b.Apply(rec); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		body = body[n:]
	}
	if len(body) != 0 {
		return fmt.Errorf("%w: %d bytes after the last record of a chunk", ErrCorrupt, len(body))
	}
	return nil
}

func readFull(r io.Reader, p []byte) error {
	if _, err := io.ReadFull(r, p); err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: the file ends early", ErrCorrupt)
	} else if err != nil {
		return err
	}
	return nil
}

// readGrowing reads n bytes into buf, growing it as bytes arrive and not by what the file announces.
func readGrowing(r io.Reader, buf []byte, n int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < n {
		step := min(n-len(buf), max(chunkBytes+4096, len(buf)))
		at := len(buf)
		if cap(buf) < at+step {
			buf = append(make([]byte, 0, at+step), buf...)
		}
		buf = buf[:at+step]
		if err := readFull(r, buf[at:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}
