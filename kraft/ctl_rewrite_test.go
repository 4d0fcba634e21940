package kraft

import "slices"

// rewrite puts one object in the place of what some neighbouring objects hold of a stream, as log compaction does.
func (h *history) rewrite() {
	s, ok := h.anyStream(owned)
	if !ok {
		return
	}
	held := h.image().Objects(nil, s.ID, s.Start, 10)
	req := &RewriteStreamRequest{Stream: s.ID, Epoch: s.Epoch, Node: s.Node, NodeEpoch: h.epochs[s.Node]}
	if len(held) == 0 {
		req.Cleaned = s.End
		h.must("", h.stream(req), nil)
		return
	}
	from := h.rng.IntN(len(held))
	held = held[from : from+h.rng.IntN(len(held)-from)+1]
	for i, x := range held {
		if i > 0 && x.Start != held[i-1].End {
			held = held[:i] // what lies between was trimmed before it was uploaded
			break
		}
		req.Replaced = append(req.Replaced, x.Object.ID)
	}
	all := Range{Stream: s.ID, Epoch: s.Epoch, Start: held[0].Start, End: held[len(held)-1].End, Bytes: 1, MaxTimestamp: h.now.UnixMilli()}
	if all.Start < s.Start && s.Start < all.End && h.chance(50) {
		all.Start = s.Start
	}
	req.Cleaned = all.Start + h.rng.Int64N(all.End-all.Start+1)
	req.New = []NewObject{{ID: h.prepare(s.Node, req.NodeEpoch, 2), Kind: StreamObject, Size: 5, Ranges: []Range{all}}}
	x := &req.New[0].Ranges[0]
	switch h.rng.IntN(12) {
	case 0:
		req.Epoch--
		h.must("rewrite at an old epoch", h.stream(req), ErrFenced)
	case 1:
		req.NodeEpoch--
		h.must("rewrite by an old registration", h.stream(req), ErrFenced)
	case 2:
		x.End++
		h.must("rewrite that adds offsets", h.stream(req), ErrConflict)
	case 3:
		if x.End-x.Start > 1 {
			x.End--
			h.must("rewrite that loses the end", h.stream(req), ErrConflict)
		}
	case 4:
		req.Cleaned = s.End + 1
		h.must("rewrite that is cleaned beyond the end", h.stream(req), ErrInvalid)
	case 5:
		other, ok := h.anyStream(func(o Stream) bool { return owned(o) && o.ID != s.ID })
		if ok {
			x.Stream = other.ID
			h.must("rewrite with another stream's object", h.stream(req), ErrInvalid)
		}
	case 6:
		req.Replaced = append(req.Replaced, req.New[0].ID+1)
		h.must("rewrite of an object that is not committed", h.stream(req), ErrConflict)
	case 7:
		req.New = nil
		h.must("rewrite without an object", h.stream(req), ErrConflict)
	default:
		req.Replaced = slices.Clip(req.Replaced)
		h.must("", h.stream(req), nil)
		h.must("", h.stream(req), nil) // the answer to the first was lost
	}
}
