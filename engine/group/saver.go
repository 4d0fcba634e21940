package group

// saver writes the changes of a group one at a time: what comes up meanwhile goes into the next write, so that the log always has a state that memory had,
// never the later half of a change without the earlier one. Guarded by shard.mu.
type saver struct {
	writing bool
	now     []func(t *turn, err error) // wait for the write that is under way
	next    []func(t *turn, err error) // wait for the one after
}

// save has then run when all that memory says of the group is in the log; at once when it is already. dirty says that something is neither there nor on its
// way. write, which has to begin and end, is called when none is under way.
func (sv *saver) save(t *turn, dirty bool, write func(t *turn), then func(t *turn, err error)) {
	switch {
	case !sv.writing && !dirty:
		then(t, nil)
	case sv.writing && !dirty:
		sv.now = append(sv.now, then)
	default:
		sv.next = append(sv.next, then)
		if !sv.writing {
			write(t)
		}
	}
}

// begin notes that a write has all that is dirty now.
func (sv *saver) begin() {
	sv.writing = true
	sv.now, sv.next = sv.next, nil
}

// end takes the outcome of a write, and has the next one begin if somebody waits for it and the group is still the one that waits.
func (sv *saver) end(t *turn, err error, still func() bool, write func(t *turn)) {
	waited := sv.now
	sv.writing, sv.now = false, nil
	for _, then := range waited {
		then(t, err)
	}
	next := sv.next
	why := error(nil)
	switch {
	case len(next) == 0:
		return
	case t.s.state != shardActive:
		why = ErrNotCoordinator
	case !still():
		why = errChanged
	default:
		write(t)
		return
	}
	sv.next = nil
	for _, then := range next {
		then(t, why)
	}
}
