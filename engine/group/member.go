package group

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// newMemberJoinTimeout is how long the first join of a member may be held before the member counts as gone: its connection
// may be, and it sends no heartbeats yet. Kafka's figure.
const newMemberJoinTimeout = 5 * time.Minute

// member of a group. Guarded by shard.mu; the byte slices in it are never changed once they are set, so that responses may
// refer to them.
type member struct {
	id         string
	instance   *string // static members
	clientID   string
	clientHost string

	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	protocols        []protocol // in the member's order of preference, names unique
	assignment       []byte
	bytes            int // memory, as limited by MaxGroupBytes

	join     *heldJoin
	sync     *heldSync
	isNew    bool // the first join is not answered yet
	unsynced bool // did not sync since the last join phase
	session  timer
}

type protocol struct {
	name     string
	metadata []byte
}

// heldJoin is a JoinGroup request that waits for the end of the join phase.
type heldJoin struct {
	version int16
	reply   func(kmsg.Response)
}

// heldSync is a SyncGroup request that waits for the assignment.
type heldSync struct {
	version int16
	reply   func(kmsg.Response)
}

// memberOverhead is the memory of a member beside its protocols and ids: the struct, its places in maps and timers.
const memberOverhead = 512

func memberBytes(id, clientID string, protocols []protocol) int {
	n := memberOverhead + len(id) + len(clientID)
	for _, p := range protocols {
		n += len(p.name) + len(p.metadata) + 64
	}
	return n
}

// takeProtocols copies the protocols of a request. A name that comes twice counts once.
func takeProtocols(req []kmsg.JoinGroupRequestProtocol) []protocol {
	taken := make([]protocol, 0, len(req))
	seen := make(map[string]struct{}, len(req))
	for _, p := range req {
		if _, ok := seen[p.Name]; !ok {
			seen[p.Name] = struct{}{}
			taken = append(taken, protocol{p.Name, bytes.Clone(p.Metadata)})
		}
	}
	return taken
}

// matches reports whether protocols are what the member has already.
func (m *member) matches(protocols []protocol) bool {
	if len(m.protocols) != len(protocols) {
		return false
	}
	for i, p := range protocols {
		if m.protocols[i].name != p.name || !bytes.Equal(m.protocols[i].metadata, p.metadata) {
			return false
		}
	}
	return true
}

// metadata is what the member sent with a protocol; nil without.
func (m *member) metadata(name *string) []byte {
	if name != nil {
		for _, p := range m.protocols {
			if p.name == *name {
				return p.metadata
			}
		}
	}
	return nil
}

func (m *member) currentAssignment() []byte { return m.assignment }

// add makes m a member. REQUIRES: neither its id nor its instance is in the group.
func (g *group) add(m *member) {
	if g.members == nil {
		g.members = make(map[string]*member)
		g.votes = make(map[string]int)
	}
	m.session.fire = func(t *turn) { g.sessionExpires(t, m) }
	if len(g.order) == 0 {
		g.leader = m.id
	}
	g.members[m.id] = m
	g.order = append(g.order, m)
	if m.instance != nil {
		if g.static == nil {
			g.static = make(map[string]*member)
		}
		g.static[*m.instance] = m
	}
	g.countProtocols(m, 1)
	g.s.memberCount++
}

// remove ends a membership; held requests are answered with code. The caller starts the rebalance.
func (g *group) remove(t *turn, m *member, code int16) {
	g.answerJoin(t, m, code)
	g.answerSync(t, m, code)
	t.stopTimer(&m.session)
	g.setUnsynced(t, m, false)
	g.countProtocols(m, -1)
	delete(g.members, m.id)
	if m.instance != nil {
		delete(g.static, *m.instance)
	}
	for i, other := range g.order {
		if other == m {
			g.order = append(g.order[:i], g.order[i+1:]...)
			break
		}
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0].id
		}
	}
	g.s.memberCount--
}

// update gives m what a new join of it says.
func (g *group) update(m *member, protocols []protocol, session, rebalance time.Duration) {
	g.countProtocols(m, -1)
	m.protocols, m.sessionTimeout, m.rebalanceTimeout = protocols, session, rebalance
	g.countProtocols(m, 1)
}

// countProtocols adds (or takes away) the protocols and bytes of m to the group's sums.
func (g *group) countProtocols(m *member, sign int) {
	for _, p := range m.protocols {
		if g.votes[p.name] += sign; g.votes[p.name] == 0 {
			delete(g.votes, p.name)
		}
	}
	if sign > 0 {
		m.bytes = memberBytes(m.id, m.clientID, m.protocols)
	}
	g.bytes += sign * m.bytes
}

// supports reports whether a member with these protocols fits in: at least one of them is supported by all members.
func (g *group) supports(protocolType string, protocols []protocol) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	if g.state == empty {
		return true
	}
	if g.protocolType != protocolType {
		return false
	}
	for _, p := range protocols {
		if g.votes[p.name] == len(g.members) {
			return true
		}
	}
	return false
}

// selectProtocol counts one vote of each member, for the first of its protocols that all members support. With equal votes
// the one that the longest-serving member prefers wins. REQUIRES: there are members.
func (g *group) selectProtocol() string {
	polled := make(map[string]int)
	for _, m := range g.order {
		for _, p := range m.protocols {
			if g.votes[p.name] == len(g.members) {
				polled[p.name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.order[0].protocols {
		if polled[p.name] > polled[best] {
			best = p.name
		}
	}
	return best
}

// keepAlive starts the member's session anew.
func (g *group) keepAlive(t *turn, m *member) { t.setTimer(&m.session, m.sessionTimeout) }

// setUnsynced tracks who still has to sync; with the last one the sync phase has no deadline any more.
func (g *group) setUnsynced(t *turn, m *member, unsynced bool) {
	switch {
	case m.unsynced == unsynced:
		return
	case unsynced:
		g.unsynced++
	default:
		g.unsynced--
		if g.unsynced == 0 && (g.state == completingRebalance || g.state == stable) {
			t.stopTimer(&g.timer)
		}
	}
	m.unsynced = unsynced
}
