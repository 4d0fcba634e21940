package consumer

import "slices"

// reconcile brings a member nearer to the target assignment. owned is what the member says that it has, nil when it does not say.
// With changed set its subscription has changed: what it is not subscribed to any more is taken away at once, before a new target is.
// It reports whether the member's current assignment is another now.
func (g *Group) reconcile(env *Env, m *Member, owned ownedReport, changed bool) bool {
	if !changed && m.Reconciled(g.AssignmentEpoch) {
		return false
	}
	before := *m
	g.release(m)
	switch m.State {
	case Stable:
		switch {
		case m.Epoch != g.AssignmentEpoch:
			g.next(env, m, owned)
		case changed:
			g.trim(env, m, owned)
		}
	case Unrevoked:
		switch {
		case !owned.hasAny(m.Revoking):
			g.next(env, m, owned)
		case changed:
			g.trim(env, m, owned)
		}
	case Unreleased:
		g.next(env, m, owned)
	default:
		g.next(env, m, owned)
	}
	g.acquire(m)
	if m.State == before.State && m.Epoch == before.Epoch && m.Previous == before.Previous && m.Assigned.equal(before.Assigned) && m.Revoking.equal(before.Revoking) {
		return false
	}
	m.reached = true
	g.mark(KindCurrent, m.ID)
	return true
}

// enter moves a member to an epoch.
func (m *Member) enter(epoch int32, state State, assigned, revoking Owned) {
	m.Previous, m.Epoch, m.State, m.Assigned, m.Revoking = m.Epoch, epoch, state, assigned, revoking
}

// next computes what the member may have on its way to the target: partitions that it is to give up come first, and while it has not
// done so it gets nothing new and stays in its epoch. REQUIRES: the member is released.
func (g *Group) next(env *Env, m *Member, owned ownedReport) {
	target := g.target[m.ID]
	kept, revoke := make(Owned), make(Owned)
	for topic, parts := range m.Assigned {
		wanted := target[topic]
		if len(wanted) > 0 && !g.subscribes(m, env.Topics, topic) {
			wanted = nil
		}
		for _, p := range parts {
			if _, ok := slices.BinarySearch(wanted, p.Partition); ok {
				kept[topic] = append(kept[topic], p)
			} else {
				revoke[topic] = append(revoke[topic], p)
			}
		}
	}
	if len(revoke) > 0 && owned.hasAny(revoke) {
		m.enter(m.Epoch, Unrevoked, kept, revoke)
		return
	}
	state := Stable
	got := make(Owned)
	for topic, wanted := range target {
		if !g.subscribes(m, env.Topics, topic) {
			continue
		}
		for _, partition := range wanted {
			if i, ok := findPart(kept[topic], partition); ok {
				got[topic] = append(got[topic], kept[topic][i])
			} else if g.free(topic, partition) {
				got[topic] = append(got[topic], Part{partition, g.AssignmentEpoch})
			} else {
				state = Unreleased
			}
		}
	}
	m.enter(g.AssignmentEpoch, state, got, Owned{})
}

// trim takes away what the member is not subscribed to any more. REQUIRES: the member is released.
func (g *Group) trim(env *Env, m *Member, owned ownedReport) {
	kept, revoke := make(Owned), make(Owned)
	for topic, parts := range m.Revoking {
		revoke[topic] = parts
	}
	trimmed := false
	for topic, parts := range m.Assigned {
		if g.subscribes(m, env.Topics, topic) {
			kept[topic] = parts
			continue
		}
		trimmed = true
		all := append(slices.Clone(revoke[topic]), parts...)
		slices.SortFunc(all, func(a, b Part) int { return int(a.Partition) - int(b.Partition) })
		revoke[topic] = all
	}
	switch {
	case !trimmed:
	case owned.hasAny(revoke):
		m.enter(m.Epoch, Unrevoked, kept, revoke)
	default:
		m.enter(m.Epoch, m.State, kept, m.Revoking)
	}
}
