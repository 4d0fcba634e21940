package kproto

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipReader is a reader with the source it reads from, so that a pool holds both.
type gzipReader struct {
	src bytes.Reader
	zr  gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func gunzip(dst, src []byte, limit int) ([]byte, error) {
	g := gzipReaders.Get().(*gzipReader)
	defer func() {
		g.src.Reset(nil)
		gzipReaders.Put(g)
	}()
	g.src.Reset(src)
	if err := g.zr.Reset(&g.src); err != nil {
		return dst, err
	}
	return readLimited(dst, &g.zr, limit)
}

// gzipWriter is a writer that appends to a slice.
type gzipWriter struct {
	out appender
	zw  *gzip.Writer
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// gzipWriters is indexed by level; a level's writer is large and cannot change level.
var gzipWriters [gzip.BestCompression + 1]sync.Pool

func gzipTo(dst, src []byte, level int) []byte {
	if level <= 0 {
		level = 6
	}
	level = min(level, gzip.BestCompression)
	g, _ := gzipWriters[level].Get().(*gzipWriter)
	if g == nil {
		g = new(gzipWriter)
		zw, err := gzip.NewWriterLevel(&g.out, level)
		if err != nil {
			panic("BUG: kproto: gzip level: " + err.Error())
		}
		g.zw = zw
	}
	g.out = dst
	g.zw.Reset(&g.out)
	_, err := g.zw.Write(src)
	if cerr := g.zw.Close(); err != nil || cerr != nil {
		panic("BUG: kproto: gzip to memory failed")
	}
	dst, g.out = g.out, nil
	gzipWriters[level].Put(g)
	return dst
}
