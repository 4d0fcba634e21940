package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
	"github.com/ringmq/ringmq/s3stream"
)

// streamMetadata is s3stream.Metadata on top of the metadata node: the same calls, with the storage's types.
type streamMetadata struct{ node *kraft.Node }

// streamError translates what the storage acts on.
func streamError(err error) error {
	switch {
	case errors.Is(err, kraft.ErrNotClosed):
		return fmt.Errorf("%w: %w: %w", s3stream.ErrFenced, s3stream.ErrNotClosed, err)
	case errors.Is(err, kraft.ErrFenced):
		return fmt.Errorf("%w: %w", s3stream.ErrFenced, err)
	case errors.Is(err, kraft.ErrNotFound):
		return fmt.Errorf("%w: %w", s3stream.ErrNotFound, err)
	}
	return err
}

func (m streamMetadata) PrepareObjects(ctx context.Context, n int) (s3stream.ObjectID, error) {
	first, err := m.node.PrepareObjects(ctx, n)
	return s3stream.ObjectID(first), streamError(err)
}

func (m streamMetadata) CommitObjects(ctx context.Context, c s3stream.Commit) error {
	return streamError(m.node.CommitObjects(ctx, kraft.Commit{
		Node: c.Node, NodeEpoch: c.NodeEpoch, Extends: c.Extends, New: newObjects(c.New), Compacted: objectIDs(c.Compacted),
	}))
}

func (m streamMetadata) RewriteStream(ctx context.Context, c s3stream.RewriteCommit) error {
	return streamError(m.node.RewriteStream(ctx, kraft.Rewrite{
		Stream: kraft.StreamID(c.Stream), Epoch: c.Epoch, Cleaned: c.Cleaned, New: newObjects(c.New), Replaced: objectIDs(c.Replaced),
	}))
}

func newObjects(objects []s3stream.ObjectInfo) []kraft.NewObject {
	var out []kraft.NewObject
	for i := range objects {
		o := &objects[i]
		no := kraft.NewObject{ID: kraft.ObjectID(o.ID), Kind: kraft.ObjectKind(o.Kind), Size: o.Size}
		for _, r := range o.Ranges {
			no.Ranges = append(no.Ranges, kraft.Range{Stream: kraft.StreamID(r.Stream), Epoch: r.Epoch, Start: r.Start, End: r.End, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp})
		}
		out = append(out, no)
	}
	return out
}

func objectIDs(ids []s3stream.ObjectID) []kraft.ObjectID {
	out := make([]kraft.ObjectID, len(ids))
	for i, id := range ids {
		out[i] = kraft.ObjectID(id)
	}
	return out
}

func (m streamMetadata) OpenStream(ctx context.Context, id s3stream.StreamID, epoch int64) (s3stream.StreamInfo, error) {
	s, err := m.node.OpenStream(ctx, kraft.StreamID(id), epoch)
	return streamInfo(s), streamError(err)
}

func (m streamMetadata) TakeOverStream(ctx context.Context, id s3stream.StreamID, epoch int64, from int32, fromEpoch int64) (s3stream.StreamInfo, error) {
	s, err := m.node.TakeOverStream(ctx, kraft.StreamID(id), epoch, from, fromEpoch)
	return streamInfo(s), streamError(err)
}

func (m streamMetadata) CloseStream(ctx context.Context, id s3stream.StreamID, epoch int64) error {
	return streamError(m.node.CloseStream(ctx, kraft.StreamID(id), epoch))
}

func (m streamMetadata) TrimStream(ctx context.Context, id s3stream.StreamID, epoch int64, start int64) error {
	return streamError(m.node.TrimStream(ctx, kraft.StreamID(id), epoch, start))
}

func streamInfo(s kraft.Stream) s3stream.StreamInfo {
	return s3stream.StreamInfo{ID: s3stream.StreamID(s.ID), Epoch: s.Epoch, Node: s.Node, Start: s.Start, End: s.End, Cleaned: s.Cleaned, Closed: s.Closed}
}

func (m streamMetadata) Stream(id s3stream.StreamID) (s3stream.StreamInfo, bool) {
	img := m.node.Image()
	s, ok := img.Stream(kraft.StreamID(id))
	if !ok && img.StreamExisted(kraft.StreamID(id)) {
		return s3stream.StreamInfo{ID: id, Node: -1, Deleted: true}, true
	}
	return streamInfo(s), ok
}

func (m streamMetadata) Objects(dst []s3stream.ObjectInfo, id s3stream.StreamID, from int64, limit int) []s3stream.ObjectInfo {
	for _, h := range m.node.Image().Objects(nil, kraft.StreamID(id), from, limit) {
		o := objectInfo(h.Object)
		o.Ranges = []s3stream.Range{streamRange(h.Range)}
		dst = append(dst, o)
	}
	return dst
}

func (m streamMetadata) StreamSetObjects(node int32, limit int) []s3stream.ObjectInfo {
	var out []s3stream.ObjectInfo
	for _, ko := range m.node.Image().StreamSetObjects(nil, node, limit) {
		o := objectInfo(ko)
		for _, r := range ko.Ranges {
			o.Ranges = append(o.Ranges, streamRange(r))
		}
		out = append(out, o)
	}
	return out
}

func objectInfo(o kraft.Object) s3stream.ObjectInfo {
	return s3stream.ObjectInfo{ID: s3stream.ObjectID(o.ID), Kind: s3stream.ObjectKind(o.Kind), Node: o.Node, Size: o.Size, Committed: o.When}
}

func streamRange(r kraft.Range) s3stream.Range {
	return s3stream.Range{Stream: s3stream.StreamID(r.Stream), Epoch: r.Epoch, Start: r.Start, End: r.End, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp}
}

func (m streamMetadata) Destroyed(age time.Duration, limit int) []s3stream.ObjectID {
	var out []s3stream.ObjectID
	for _, id := range m.node.Image().DestroyedObjects(nil, time.Now().Add(-age), limit) {
		out = append(out, s3stream.ObjectID(id))
	}
	return out
}

func (m streamMetadata) Deleted(ctx context.Context, ids []s3stream.ObjectID) error {
	return streamError(m.node.DeletedObjects(ctx, objectIDs(ids)))
}

func (m streamMetadata) ObjectState(id s3stream.ObjectID) bool {
	_, known := m.node.Image().Object(kraft.ObjectID(id))
	return known
}

// controllerError says what a failed call to the controller means to a client: all are retriable.
func controllerError(err error) kproto.ErrorCode {
	switch {
	case errors.Is(err, kraft.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return kproto.RequestTimedOut
	case errors.Is(err, kraft.ErrNotController), errors.Is(err, kraft.ErrClosed):
		return kproto.NotController
	}
	return kproto.UnknownServerError
}
