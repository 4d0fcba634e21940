package s3stream

import "context"

// CompactSets compacts stream-set objects as the background does, where it pays.
func (s *Storage) CompactSets(ctx context.Context) error { return s.compactSets(ctx, false) }
