package wal

import (
	"context"
	"errors"
	"fmt"
)

// tailWindow is how far behind the end of the log later blocks are searched, beside twice the largest block seen. At most QueueDepth blocks
// are in flight, so the first block that was sealed after a lost one had been acknowledged, if there is any, lies within that.
const tailWindow = 32 << 20

// cleanWindow is how far behind the end of a log that was closed blocks of a later opening are searched. Such blocks mean that the device
// has lost superblocks. It is what the reads ahead have fetched by then anyway.
const cleanWindow = readDepth * readBytes

// scanner walks the chain of blocks from a trim position. It only reads.
type scanner struct {
	s       *superblock
	r       *readahead
	prev    header // the block before; Length 0: none
	stop    string // why the chain ended
	largest int64  // length of the largest block of the chain
	inPlace int    // bytes of the block that block returned last which r still has to move over: it lies in r's window
}

// errEnd says that no block chains at a position.
var errEnd = errors.New("wal: end of chain")

func newScanner(dev Device, s *superblock, each int) (*scanner, error) {
	r, err := newReadahead(dev, s.Capacity, each)
	if err != nil {
		return nil, err
	}
	return &scanner{s: s, r: r}, nil
}

// walk hands every block of the chain to visit, verified, and returns where the chain ends. memory returns where the n bytes of a block go, or the first n of
// window, which has them, if they may stay there until visit returns; it is called once per candidate, which may still turn out not to be part of the chain.
func (sc *scanner) walk(ctx context.Context, memory func(n int, window []byte) ([]byte, error), visit func(h header, b []byte) error) (Position, error) {
	pos := sc.s.Trim
	for {
		if err := ended(ctx); err != nil {
			return pos, err
		}
		h, b, err := sc.block(pos, 0, memory)
		if room := sc.s.room(pos); err == errEnd && room < sc.s.ring() {
			// The next block did not fit before the ring's end and went to its start.
			why := sc.stop
			if h, b, err = sc.block(pos, room, memory); err == errEnd {
				sc.stop = why
			}
		}
		if err == errEnd {
			return pos, nil
		}
		if err != nil {
			return pos, err
		}
		end := h.Offset + Position(h.Length)
		if end == sc.s.GenStart && h.Chain != sc.s.StartChain {
			return pos, &CorruptError{Pos: pos, Reason: fmt.Sprintf("the block before generation %d is %08x, it was %08x", sc.s.Generation, h.Chain, sc.s.StartChain)}
		}
		if err := visit(h, b); err != nil {
			return pos, err
		}
		if sc.inPlace > 0 {
			sc.r.skip(sc.inPlace)
			sc.inPlace = 0
		}
		sc.prev, sc.largest = h, max(sc.largest, int64(h.Length))
		pos = end
	}
}

// block reads and judges the block that lies skipped bytes behind pos, where the chain has come to. errEnd: nothing there continues the chain;
// sc.stop says why.
func (sc *scanner) block(pos Position, skipped int64, memory func(n int, window []byte) ([]byte, error)) (header, []byte, error) {
	pos += Position(skipped)
	end := func(format string, a ...any) (header, []byte, error) {
		sc.stop = fmt.Sprintf(format, a...)
		return header{}, nil, errEnd
	}
	if int64(pos-sc.s.Trim) >= sc.s.ring() {
		return end("the ring is full")
	}
	sc.r.seek(sc.s.physical(pos))
	w, err := sc.r.window()
	if err != nil {
		return header{}, nil, err
	}
	h, err := decodeHeader(w)
	if err != nil {
		return end("%v", err)
	}
	if err := sc.chains(&h, pos, skipped); err != nil {
		return end("%v", err)
	}
	b, err := memory(int(h.Length), w)
	if err != nil {
		return header{}, nil, err
	}
	inPlace := &b[0] == &w[0]
	if !inPlace {
		if err := sc.r.read(b); err != nil {
			return header{}, nil, err
		}
	}
	if err := h.verify(b); err != nil {
		return end("%v", err)
	}
	if inPlace {
		sc.inPlace = len(b)
	}
	return h, b, nil
}

// chains judges whether a block with a sound header belongs at pos and behind the previous block. The rules:
//
//	log id      ours: not a block from before a format
//	offset      pos: not a block of an earlier round of the ring, not misplaced
//	generation  exactly the superblock's at GenStart and above, smaller and not falling below it: a block that an earlier opening
//	            had in flight when it died, behind the point where this opening began to write, is never taken for current
//	prev        the chain value of the previous block, unless this is the first
//	length      ends within the ring and within one round from trim
//	skipped     as many pages as the chain jumps over. The first block may have any when it lies at pos: what was before it is trimmed.
//	            Without this rule a damaged block at the trim position, near the ring's end, would be jumped over
func (sc *scanner) chains(h *header, pos Position, skipped int64) error {
	s := sc.s
	switch {
	case h.LogID != s.logID():
		return fmt.Errorf("block of log %016x, this is %016x", h.LogID, s.logID())
	case h.Offset != pos:
		return fmt.Errorf("block of offset %d", h.Offset)
	case h.Offset >= s.GenStart && h.Generation != s.Generation:
		return fmt.Errorf("block of generation %d, want %d from offset %d on", h.Generation, s.Generation, s.GenStart)
	case h.Offset < s.GenStart && h.Generation >= s.Generation:
		return fmt.Errorf("block of generation %d, want less than %d below offset %d", h.Generation, s.Generation, s.GenStart)
	case sc.prev.Length > 0 && h.Generation < sc.prev.Generation:
		return fmt.Errorf("block of generation %d after one of %d", h.Generation, sc.prev.Generation)
	case sc.prev.Length > 0 && h.Prev != sc.prev.Chain:
		return fmt.Errorf("block follows %08x, the block before it is %08x", h.Prev, sc.prev.Chain)
	case int64(h.Skipped)*pageBytes != skipped && (skipped > 0 || sc.prev.Length > 0):
		return fmt.Errorf("block skips %d pages, the one before it ends %d before it", h.Skipped, skipped/pageBytes)
	case int64(h.Length) > s.room(pos):
		return fmt.Errorf("block of %d bytes, %d are left in the ring", h.Length, s.room(pos))
	case int64(pos-s.Trim)+int64(h.Length) > s.ring():
		return fmt.Errorf("block of %d bytes runs into the trim position", h.Length)
	}
	return nil
}

// judgeEnd says whether end can be the end of the log. It cannot when something proves that a block at or after end was acknowledged: the
// superblock, or a block behind it (see proof).
func (sc *scanner) judgeEnd(end Position) error {
	s := sc.s
	corrupt := func(format string, a ...any) error {
		return &CorruptError{Pos: end, Reason: sc.stop + "; " + fmt.Sprintf(format, a...)}
	}
	window := tailWindow + 2*sc.largest
	switch {
	case end < s.GenStart:
		return corrupt("generation %d began at %d", s.Generation, s.GenStart)
	case end < s.Durable:
		return corrupt("the superblock knows everything before %d to be durable", s.Durable)
	case s.Clean && end > s.Durable:
		return corrupt("the log was closed at %d", s.Durable)
	case s.Clean:
		window = cleanWindow
	}
	last := s.Trim + Position(s.ring())
	stop := min(end+Position(window), last)
	for pos := end; pos < stop; {
		sc.r.seek(s.physical(pos))
		w, err := sc.r.window()
		if err != nil {
			return err
		}
		for n := min(int64(len(w)), int64(stop-pos), s.room(pos)); n > 0; n -= pageBytes {
			h, err := decodeHeader(w)
			if err == nil && h.LogID == s.logID() && h.Offset >= end && s.physical(h.Offset) == s.physical(pos) {
				if why := sc.proof(&h, end); why != "" {
					return corrupt("the block at %d %s", h.Offset, why)
				}
				if h.Generation == s.Generation && h.Offset == pos {
					// Written behind the end and no proof: it was in flight together with what is missing. What was sealed after
					// that was acknowledged may lie behind it.
					stop = min(max(stop, pos+Position(h.Length)+tailWindow), last)
				}
			}
			w = w[pageBytes:]
			sc.r.skip(pageBytes)
			pos += pageBytes
		}
	}
	return nil
}

// proof says why a block of this log, found at its right place at or behind end, proves that end is not the end; "" when it does not.
//
//	durable     what was missing at end had been acknowledged when this one was sealed
//	generation  no block of a generation is written before both superblocks know of it: they have been lost since
//	round       no space is reused before both superblocks know the trim that freed it: they have been lost since
func (sc *scanner) proof(h *header, end Position) string {
	s := sc.s
	switch {
	case h.Generation == s.Generation && h.Durable > end:
		return fmt.Sprintf("was written when everything before %d was durable", h.Durable)
	case h.Generation > s.Generation:
		return fmt.Sprintf("is of generation %d, of which the superblock of generation %d does not know", h.Generation, s.Generation)
	case h.Offset >= s.Trim+Position(s.ring()):
		return fmt.Sprintf("lies where the trim position %d of the superblock did not allow it", s.Trim)
	}
	return ""
}
