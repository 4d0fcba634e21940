package sharestate

// RefreshCold writes snapshots of states that were not written for long, so that the log behind them can go. When all have had theirs, nothing would be
// gained, and nothing is written.
func (c *Coordinator) RefreshCold() {
	c.shards.Each(func(s *shard) {
		now := s.opts.Now().UnixMilli()
		for _, k := range s.cold(now) {
			err := s.update(k, func(at *state, _ int) (*record, *Error) {
				if at == nil || now-at.writeMillis < s.opts.ColdAfter.Milliseconds() {
					return nil, nil
				}
				again := *at
				again.snapshotEpoch++
				again.writeMillis = now
				return &record{kindSnapshot, &again}, nil
			})
			if err != nil {
				s.opts.Logger.Warn("share group state: snapshot not written", "state", k.String(), "partition", s.partition, "cause", err)
				return
			}
		}
	})
}

// cold lists the states that want another snapshot.
func (s *shard) cold(now int64) (keys []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	settled := true
	for k, at := range s.slots {
		settled = settled && at.createMillis != at.writeMillis && at.updates == 0
		if at.exists && now-at.writeMillis >= s.opts.ColdAfter.Milliseconds() {
			keys = append(keys, k)
		}
	}
	if settled {
		return nil
	}
	return keys
}

// Redundant is the offset of a partition of __share_group_state below which no record counts any more, at most end, where the log ended before the call. ok
// is false when this broker does not coordinate the partition.
func (c *Coordinator) Redundant(partition int32, end int64) (offset int64, ok bool) {
	s := c.shards.At(partition)
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.serving {
		return 0, false
	}
	offset = end
	for _, at := range s.slots {
		if !at.exists {
			return 0, false // its first record may lie below the end already; next time
		}
		offset = min(offset, at.snapshotAt)
	}
	return offset, true
}

// TopicsDeleted removes the states of topics that are gone.
func (c *Coordinator) TopicsDeleted(gone func(topic [16]byte) bool) {
	c.shards.Each(func(s *shard) {
		var keys []Key
		s.mu.Lock()
		for k := range s.slots {
			if gone(k.Topic) {
				keys = append(keys, k)
			}
		}
		s.mu.Unlock()
		for _, k := range keys {
			err := s.update(k, func(at *state, _ int) (*record, *Error) {
				if at == nil {
					return nil, nil
				}
				return &record{kind: kindSnapshot}, nil
			})
			if err != nil {
				s.opts.Logger.Warn("share group state: state of a deleted topic not removed", "state", k.String(), "cause", err)
				return
			}
		}
	})
}
