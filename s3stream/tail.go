package s3stream

import (
	"slices"
	"sort"
	"sync"
	"unsafe"

	"github.com/ringmq/ringmq/wal"
)

// entry is one record of a tail in memory; or, after their bytes have left memory, all neighbouring records of the stream in one WAL block.
type entry struct {
	first, next  int64 // offsets
	maxTimestamp int64
	block        wal.Position // where to read it again
	size         int64        // payload bytes
	data         []byte       // payload; valid while mem is held
	mem          Mem          // one reference; nil: the bytes are only on the WAL device
}

const (
	entryBytes = int64(unsafe.Sizeof(entry{}))
	// Pages of entries grow with a part, so that an idle stream costs little and a busy one few allocations.
	firstPage = 4
	fullPage  = 256
	// lockedEntries is how many entries leave memory under one hold of tail.mu: readers and appends wait for it.
	lockedEntries = 1024
)

// pagePool recycles full pages.
type pagePool struct{ pool sync.Pool }

// after returns an empty page to follow one of n entries.
func (p *pagePool) after(n int) []entry {
	n = min(fullPage, max(firstPage, 4*n))
	if n == fullPage {
		if v, ok := p.pool.Get().(*[fullPage]entry); ok {
			return v[:0]
		}
	}
	return make([]entry, 0, n)
}

// put takes back a page whose entries are not used any more.
func (p *pagePool) put(page []entry) {
	if cap(page) == fullPage {
		page = page[:fullPage]
		clear(page)
		p.pool.Put((*[fullPage]entry)(page))
	}
}

// part is what one stream has in one segment: a contiguous run of records. tail.mu guards everything, but once the segment is sealed only
// what holds Storage.relieving changes it, and not while the segment is pinned.
type part struct {
	tail *tail
	seg  *segment

	start, end   int64 // offsets of what the index still holds
	bytes        int64 // payload bytes of it
	maxTimestamp int64 // of all that was ever added
	epoch        int64 // of the newest record
	void         bool  // not to be uploaded or read: written by others since

	pages  [][]entry // none empty
	skip   int       // how many entries of pages[0] are gone; less than its length
	device int       // how many pages at the front have only entries without memory
}

// live returns the entries of a page.
func (p *part) live(page int) []entry {
	if page == 0 {
		return p.pages[0][p.skip:]
	}
	return p.pages[page]
}

// add appends an entry.
func (p *part) add(e entry, pool *pagePool) {
	n := len(p.pages)
	switch {
	case n == 0:
		p.pages = append(p.pages, pool.after(0))
		p.start, p.maxTimestamp = e.first, e.maxTimestamp
		n = 1
	case len(p.pages[n-1]) == cap(p.pages[n-1]):
		p.pages = append(p.pages, pool.after(cap(p.pages[n-1])))
		n++
	}
	p.pages[n-1] = append(p.pages[n-1], e)
	if e.mem != nil {
		p.device = min(p.device, n-1)
	}
	p.end = e.next
	p.bytes += e.size
	p.maxTimestamp = max(p.maxTimestamp, e.maxTimestamp)
}

// find returns the entry that holds offset, by page and place in live(page). REQUIRES: p.start <= offset < p.end.
func (p *part) find(offset int64) (page, index int) {
	page = len(p.pages) - 1
	if page > 0 && p.pages[page][0].first > offset {
		page = sort.Search(page, func(i int) bool { return p.live(i)[0].first > offset }) - 1
	}
	es := p.live(page)
	return page, sort.Search(len(es), func(i int) bool { return es[i].next > offset })
}

// each calls fn for the entries from the one that holds offset from on, until it returns false.
func (p *part) each(from int64, fn func(e *entry) bool) {
	if from >= p.end || len(p.pages) == 0 {
		return
	}
	pi, ei := 0, 0
	if from > p.start {
		pi, ei = p.find(from)
	}
	for ; pi < len(p.pages); pi, ei = pi+1, 0 {
		for es := p.live(pi); ei < len(es); ei++ {
			if !fn(&es[ei]) {
				return
			}
		}
	}
}

// freed is what leaving memory gave back.
type freed struct {
	index   int64 // bytes of the index
	payload int64 // payload bytes that were in memory
	device  int64 // payload bytes that were only on the device
}

// evict removes entries whose block lies before floor, lockedEntries of them at most. more: there are others.
func (p *part) evict(floor wal.Position, pool *pagePool) (out freed, more bool) {
	for n := 0; len(p.pages) > 0; n++ {
		e := &p.pages[0][p.skip]
		if e.block >= floor || n == lockedEntries {
			p.start = e.first
			return out, e.block < floor
		}
		if e.mem != nil {
			e.mem.Unref()
			out.payload += e.size
		} else {
			out.device += e.size
		}
		out.index += entryBytes
		p.bytes -= e.size
		*e = entry{}
		if p.skip++; p.skip == len(p.pages[0]) {
			pool.put(p.pages[0])
			p.pages[0] = nil
			p.pages, p.skip, p.device = p.pages[1:], 0, max(p.device-1, 0)
		}
	}
	p.start, p.pages = p.end, nil
	return out, false
}

// unload drops the memory of entries whose block lies before floor, of about lockedEntries of them at most, and keeps, for each block, one entry that says
// where they are on the device. more: there are others.
func (p *part) unload(floor wal.Position, pool *pagePool) (out freed, more bool) {
	from, to := p.device, p.device // the pages to replace
	var fresh [][]entry            // what replaces them
	var last *entry                // the one before
	if from > 0 {
		es := p.live(from - 1)
		last = &es[len(es)-1]
	}
	emit := func(e entry) {
		if last != nil && last.mem == nil && last.block == e.block && last.next == e.first {
			last.next, last.size, last.maxTimestamp = e.next, last.size+e.size, max(last.maxTimestamp, e.maxTimestamp)
			return
		}
		n := len(fresh)
		switch {
		case n == 0:
			fresh = append(fresh, pool.after(0))
			n = 1
		case len(fresh[n-1]) == cap(fresh[n-1]):
			fresh = append(fresh, pool.after(cap(fresh[n-1])))
			n++
		}
		fresh[n-1] = append(fresh[n-1], e)
		out.index -= entryBytes
		last = &fresh[n-1][len(fresh[n-1])-1]
	}
	taken, left := 0, 0 // left: entries of the last page taken that stay in memory
	for ; to < len(p.pages) && left == 0; to++ {
		es := p.live(to)
		if es[0].block >= floor {
			break
		}
		if taken >= lockedEntries {
			more = true
			break
		}
		k := 0
		for ; k < len(es) && es[k].block < floor; k++ {
			e := es[k]
			if e.mem != nil {
				e.mem.Unref()
				out.payload += e.size
				out.device -= e.size
				e.mem, e.data = nil, nil
			}
			emit(e)
		}
		taken += k
		out.index += int64(k) * entryBytes
		if left = len(es) - k; left > 0 {
			rest := append(pool.after(cap(p.pages[to])), es[k:]...)
			defer func() { p.device-- }() // this page has memory
			fresh = append(fresh, rest)
		}
	}
	if to == from {
		return out, false
	}
	for i := from; i < to; i++ {
		pool.put(p.pages[i])
	}
	if from == 0 {
		p.skip = 0
	}
	p.pages = slices.Concat(p.pages[:from], fresh, p.pages[to:])
	p.device = from + len(fresh)
	return out, more
}

// tail is the log cache of one stream: its records that are in memory or not uploaded yet. It outlives the Streams that are opened on it.
type tail struct {
	id StreamID

	mu struct {
		sync.Mutex
		parts  []*part // in offset order, none empty, none void; gaps between them are in objects
		end    int64   // behind the last record; -1 while not known
		epoch  int64   // of the newest record, -1 when there is none
		stream *Stream // the newest Stream, also when it is fenced or closed but not uploaded; nil: not opened
		// opening: OpenStream is at work. dropped: the stream was deleted.
		opening, dropped bool
		taking           *taking        // a take-over that is under way, or whose outcome is not known; nil: none
		lost             *DataLossError // a gap that recovery found; nil: none
		cursors          *cursors       // of cold readers; nil: none
		digest           *tailDigest    // of what recovery found, until the stream is opened; nil: none
	}
}

// findPart returns the index of the part that holds offset, or of the first one behind it. tail.mu is held.
func (t *tail) findPart(offset int64) int {
	ps := t.mu.parts
	if n := len(ps); n > 0 && ps[n-1].start <= offset {
		if offset < ps[n-1].end {
			return n - 1
		}
		return n
	}
	return sort.Search(len(ps), func(i int) bool { return ps[i].end > offset })
}

// removePart takes an emptied part out of the tail. tail.mu is held.
func (t *tail) removePart(p *part) {
	for i, q := range t.mu.parts {
		if q == p {
			t.mu.parts = append(t.mu.parts[:i], t.mu.parts[i+1:]...)
			return
		}
	}
}
