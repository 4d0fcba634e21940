package kproto

// Restore takes back what SetBaseOffset and SetLogAppendTime did to a batch that was not appended after all, so that it can be checked
// and offered again. The maximum timestamp stays; the next SetLogAppendTime replaces it.
func (b Batch) Restore() {
	b.SetBaseOffset(0)
	if b[offAttributes+1]&attrLogAppendTime != 0 {
		b[offAttributes+1] &^= attrLogAppendTime
		b.seal()
	}
}
