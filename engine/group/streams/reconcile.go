package streams

import "github.com/ringmq/ringmq/engine/group/consumer"

// reconcile brings a member nearer to a target assignment, that of an epoch. owned is what the member says that it has, nil when it does
// not say. It reports whether the member's current assignment is another now.
//
//	Stable      target is new       ─► as below
//	Unrevoked   all is given up     ─► as below, in the epoch after its own
//	Unreleased                      ─► as below
//
//	something to give up that it may have  ─► Unrevoked, in the epoch that it is in
//	something that is not free yet         ─► Unreleased, in the epoch of the target, with what is free
//	else                                   ─► Stable, in the epoch of the target
//
// REQUIRES: confused(m, owned) is nil.
func (g *Group) reconcile(m *Member, epoch int32, target, owned *Tasks) bool {
	if m.Reconciled(epoch) {
		return false
	}
	from := m.Epoch
	switch m.State {
	case consumer.Unrevoked:
		if owned == nil || !m.Revoking.apart(owned) {
			return false
		}
		from++
	case consumer.Stable, consumer.Unreleased:
	default:
		from = epoch
	}
	next := *m
	next.Assigned, next.Revoking, next.Previous = Tasks{}, Tasks{}, m.Epoch
	m.Assigned.all(func(role Role, id TaskID, since int32) bool {
		if target.has(role, id) {
			next.Assigned.add(role, id, since)
		} else {
			next.Revoking.add(role, id, since)
		}
		return true
	})
	if !next.Revoking.Empty() && (owned == nil || !next.Revoking.apart(owned)) {
		next.Epoch, next.State = from, consumer.Unrevoked
	} else {
		next.Epoch, next.State, next.Revoking = epoch, consumer.Stable, Tasks{}
		target.all(func(role Role, id TaskID, _ int32) bool {
			switch {
			case next.Assigned.has(role, id):
			case g.free(m, role, id):
				next.Assigned.add(role, id, epoch)
			default:
				next.State = consumer.Unreleased
			}
			return true
		})
	}
	if next.State == m.State && next.Epoch == m.Epoch && next.Previous == m.Previous && next.Assigned.equal(&m.Assigned) && next.Revoking.equal(&m.Revoking) {
		return false
	}
	g.release(m)
	*m = next
	g.acquire(m)
	m.reached = true
	g.mark(KindCurrent, m.ID)
	return true
}

// confused refuses a member whose state a newer version wrote, until it has nothing.
func confused(m *Member, owned *Tasks) *Error {
	if m == nil || m.State == consumer.Stable || m.State == consumer.Unrevoked || m.State == consumer.Unreleased || owned != nil && owned.Empty() {
		return nil
	}
	return refuse(consumer.CodeFencedMemberEpoch, "The streams group member is in a unknown state. The member must abandon all its tasks and rejoin.")
}

// free reports whether a member may be assigned a task that it does not have in that role. Its own process must not have it in any role, and
// nobody at all an active one as active.
func (g *Group) free(m *Member, role Role, id TaskID) bool {
	owner := g.active[id]
	if owner != nil && (role == Active || owner.Process == m.Process) {
		return false
	}
	for _, other := range []Role{Standby, Warmup} {
		if _, has := g.copies[other][id][m.Process]; has {
			return false
		}
	}
	return true
}
