package kraft

import (
	"slices"

	"github.com/ringmq/ringmq/kraft/record"
)

// rewriteStream commits a log compaction: of the one stream exactly the same offsets as before, of which those below its start may be missing.
func (t *tx) rewriteStream(r *RewriteStreamRequest) error {
	if err := t.checkNode(r.Node, r.NodeEpoch); err != nil {
		return err
	}
	s, err := t.checkOwner(r.Stream, r.Epoch, r.Node)
	if err != nil {
		return err
	}
	if r.Cleaned > s.End {
		return refuse(CodeInvalid, "stream %d: cleaned to %d, it ends at %d", r.Stream, r.Cleaned, s.End)
	}
	objects := ownObjects(r.New)
	if err := checkShape(objects, r.Replaced); err != nil {
		return err
	}
	again, err := t.checkPrepared(objects, r.Node)
	if err != nil || again {
		return err
	}
	if err := t.checkRewrites(s, objects, r.Replaced); err != nil {
		return err
	}
	cleaned := max(r.Cleaned, s.Cleaned)
	if len(objects) == 0 && cleaned == s.Cleaned {
		return nil
	}
	replaced := slices.Clone(r.Replaced)
	slices.Sort(replaced)
	t.add(&record.StreamRewritten{Stream: r.Stream, Node: r.Node, Time: t.now.UnixMilli(), Cleaned: cleaned, New: objects, Replaced: replaced})
	return nil
}

// checkRewrites is checkReplaces for one stream, whose ranges alone are replaced.
func (t *tx) checkRewrites(s Stream, objects []record.NewObject, replaced []ObjectID) error {
	var old, repl []Range
	for _, id := range replaced {
		o, ok := t.img().Object(id)
		if !ok || o.State != Committed {
			return refuse(CodeConflict, "replaced object %d is gone", id)
		}
		n := len(old)
		for _, x := range o.Ranges {
			if x.Stream == s.ID {
				old = append(old, x)
			}
		}
		if len(old) == n {
			return refuse(CodeConflict, "replaced object %d has nothing of stream %d", id, s.ID)
		}
	}
	for _, n := range objects {
		for _, x := range n.Ranges {
			if x.Stream != s.ID {
				return refuse(CodeInvalid, "object %d holds stream %d, the rewrite is of stream %d", n.ID, x.Stream, s.ID)
			}
			repl = append(repl, x)
		}
	}
	slices.SortFunc(old, compareRanges)
	slices.SortFunc(repl, compareRanges)
	return checkCover(s, merge(old), merge(repl))
}
