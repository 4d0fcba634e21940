package s3stream

import (
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
)

// pagePool recycles the backing arrays of full pages.
type pagePool struct{ pool sync.Pool }

func (p *pagePool) get(n int) []entry {
	if n == fullPage {
		if v, ok := p.pool.Get().(*[fullPage]entry); ok {
			return v[:0]
		}
	}
	return make([]entry, 0, n)
}

// put takes back a page whose entries are not used any more. Only whole arrays are kept.
func (p *pagePool) put(page []entry) {
	if cap(page) == fullPage {
		page = page[:fullPage]
		clear(page)
		p.pool.Put((*[fullPage]entry)(page))
	}
}

// part is what one stream has in one segment: a contiguous run of records. tail.mu guards everything, but once the segment is sealed only
// Storage.relieve changes it, and not while the segment is pinned.
type part struct {
	tail *tail
	seg  *segment

	start, end   int64 // offsets of what the index still holds
	bytes        int64 // payload bytes of it
	maxTimestamp int64 // of all that was ever added
	epoch        int64 // of the newest record
	void         bool  // not to be uploaded or read: written by others since

	pages [][]entry // none empty; arrays may have been cut at the front
	head  []entry   // the whole array of pages[0], for the pool
}

// add appends an entry and returns how many bytes the index grew.
func (p *part) add(e entry, pool *pagePool) int64 {
	grown := int64(0)
	n := len(p.pages)
	if n == 0 || len(p.pages[n-1]) == cap(p.pages[n-1]) {
		size := firstPage
		if n > 0 {
			size = min(fullPage, 4*cap(p.pages[n-1]))
		}
		page := pool.get(size)
		if n == 0 {
			p.head = page
			p.start, p.maxTimestamp = e.first, e.maxTimestamp
		}
		p.pages = append(p.pages, page)
		grown, n = int64(size)*entryBytes, n+1
	}
	p.pages[n-1] = append(p.pages[n-1], e)
	p.end = e.next
	p.bytes += e.size
	p.maxTimestamp = max(p.maxTimestamp, e.maxTimestamp)
	return grown
}

// find returns the place of the entry that holds offset. REQUIRES: p.start <= offset < p.end.
func (p *part) find(offset int64) (page, index int) {
	page = len(p.pages) - 1
	if p.pages[page][0].first > offset {
		page = sort.Search(page, func(i int) bool { return p.pages[i][0].first > offset }) - 1
	}
	es := p.pages[page]
	return page, sort.Search(len(es), func(i int) bool { return es[i].next > offset })
}

// each calls fn for the entries from the one that holds offset from on, until it returns false.
func (p *part) each(from int64, fn func(e *entry) bool) {
	if from >= p.end {
		return
	}
	pi, ei := 0, 0
	if from > p.start {
		pi, ei = p.find(from)
	}
	for ; pi < len(p.pages); pi, ei = pi+1, 0 {
		for es := p.pages[pi]; ei < len(es); ei++ {
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

func (f *freed) add(g freed) {
	f.index += g.index
	f.payload += g.payload
	f.device += g.device
}

// evict removes the entries whose block lies before floor. It returns what was freed.
func (p *part) evict(floor wal.Position, pool *pagePool) (out freed) {
	for len(p.pages) > 0 {
		es := p.pages[0]
		i := 0
		for ; i < len(es) && es[i].block < floor; i++ {
			e := &es[i]
			if e.mem != nil {
				e.mem.Unref()
				out.payload += e.size
			} else {
				out.device += e.size
			}
			p.bytes -= e.size
			*e = entry{}
		}
		if i < len(es) {
			p.pages[0] = es[i:]
			p.start = es[i].first
			return out
		}
		p.popPage(pool, &out)
	}
	p.start, p.pages, p.head = p.end, nil, nil
	return out
}

// popPage drops the first page, which is used up.
func (p *part) popPage(pool *pagePool, out *freed) {
	out.index += int64(cap(p.head)) * entryBytes
	pool.put(p.head)
	p.pages[0] = nil
	p.pages, p.head = p.pages[1:], nil
	if len(p.pages) > 0 {
		p.head = p.pages[0]
	}
}

// unload drops the memory of the entries whose block lies before floor and keeps, for each block, one entry that says where they are on the device.
func (p *part) unload(floor wal.Position, pool *pagePool) (out freed) {
	if len(p.pages) == 0 || !p.loadedBelow(floor) {
		return out
	}
	old, head, maxTimestamp := p.pages, p.head, p.maxTimestamp
	p.pages, p.head, p.bytes = nil, nil, 0
	var run entry // gathers neighbours in one block
	flush := func() {
		if run.next > run.first {
			out.index -= p.add(run, pool)
		}
		run = entry{}
	}
	for i, page := range old {
		for _, e := range page {
			if e.block >= floor {
				flush()
				out.index -= p.add(e, pool)
				continue
			}
			if e.mem != nil {
				e.mem.Unref()
				out.payload += e.size
				out.device -= e.size
				e.mem, e.data = nil, nil
			}
			if run.next == e.first && run.block == e.block && run.next > run.first {
				run.next, run.size, run.maxTimestamp = e.next, run.size+e.size, max(run.maxTimestamp, e.maxTimestamp)
				continue
			}
			flush()
			run = e
		}
		if i == 0 {
			page = head
		}
		out.index += int64(cap(page)) * entryBytes
		pool.put(page)
	}
	flush()
	p.maxTimestamp = maxTimestamp
	return out
}

func (p *part) loadedBelow(floor wal.Position) bool {
	for _, page := range p.pages {
		for i := range page {
			if page[i].block >= floor {
				return false
			}
			if page[i].mem != nil {
				return true
			}
		}
	}
	return false
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
		lost             *DataLossError // a gap that recovery found; nil: none
		cursors          *cursors       // of cold readers; nil: none
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
