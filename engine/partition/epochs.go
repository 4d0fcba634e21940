package partition

import "sort"

// epochCache knows at which offset each leader epoch started (KIP-101). Entries ascend in both fields.
type epochCache struct {
	entries []epochEntry
}

type epochEntry struct {
	epoch int32
	start int64
}

// assign notes that epoch writes from offset start on, if that is news.
func (c *epochCache) assign(epoch int32, start int64) {
	if n := len(c.entries); n > 0 && c.entries[n-1].epoch >= epoch {
		return
	}
	// An epoch that wrote nothing is replaced by the next one at the same offset.
	for n := len(c.entries); n > 0 && c.entries[n-1].start >= start; n = len(c.entries) {
		c.entries = c.entries[:n-1]
	}
	c.entries = append(c.entries, epochEntry{epoch, start})
}

// truncateFrom drops epochs that started at or after the offset.
func (c *epochCache) truncateFrom(offset int64) {
	n := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].start >= offset })
	c.entries = c.entries[:n]
}

// endOffset is KIP-279's rule: the largest known epoch <= asked and the start of the next higher one.
func (c *epochCache) endOffset(asked, current int32, logEnd int64) (int32, int64) {
	switch {
	case asked < 0 || asked > current:
		return -1, -1
	case asked == current:
		return current, logEnd
	}
	higher := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].epoch > asked })
	switch {
	case higher == len(c.entries):
		return asked, logEnd
	case higher == 0:
		return asked, c.entries[0].start
	}
	return c.entries[higher-1].epoch, c.entries[higher].start
}

// epochOf returns the epoch that wrote the offset, -1 if no entry reaches it.
func (c *epochCache) epochOf(offset int64) int32 {
	after := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].start > offset })
	if after == 0 {
		return -1
	}
	return c.entries[after-1].epoch
}
